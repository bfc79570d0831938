package store

import (
	"errors"
	"fmt"
	"testing"
)

func TestTransitions(t *testing.T) {
	t.Parallel()
	statuses := []Status{"", Pending, Running, Completed, Failed, Timeout, Cancelled, "unknown"}
	// What may follow, by how much the attempt rises with it.
	legal := map[string]int{
		"pending to running": 1, "pending to failed": 0, "pending to timeout": 0, "pending to cancelled": 0,
		"running to running": 1, "running to pending": 0,
		"running to completed": 0, "running to failed": 0, "running to timeout": 0, "running to cancelled": 0,
	}
	const attempt = 3
	for _, from := range statuses {
		for _, to := range statuses {
			for rise := -1; rise <= 2; rise++ {
				least, known := legal[fmt.Sprintf("%s to %s", from, to)]
				want := known && (rise == least || least == 1 && rise == 2)
				before, next := state{from, attempt}, state{to, uint32(attempt + rise)}
				if got := next.mayFollow(before); got != want {
					t.Errorf("%q to %q, attempt %+d: %t, want %t", from, to, rise, got, want)
				}
			}
		}
	}
}

func TestUpdateExecutionRefusesTransition(t *testing.T) {
	t.Parallel()
	// Nothing is asked of NATS: what is not legal by the record as it was read is refused before.
	s := &Store{}
	for _, e := range []Execution{
		{ID: "made up, never read", Status: Completed},
		{ID: "ended", Status: Running, Attempt: 2, stored: state{Completed, 1}},
		{ID: "cancelled", Status: Completed, Attempt: 1, stored: state{Cancelled, 1}},
		{ID: "taken over with an old attempt", Status: Running, Attempt: 1, stored: state{Running, 1}},
	} {
		if _, err := s.UpdateExecution(t.Context(), e); !errors.Is(err, ErrTransition) {
			t.Errorf("%s: %v, want %v", e.ID, err, ErrTransition)
		}
	}
}
