package engine

import (
	"errors"
	"testing"
	"time"
)

func TestFaultHoldsLongerEachTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	broken := errors.New("broken")
	var f fault
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		f.startFailed(now, 1, broken)
		if got := f.until.Sub(now); got != want*time.Second {
			t.Errorf("held for %v, want %v", got, want*time.Second)
		}
		now = f.until
	}
	if err := f.refusal(now, 1); err != nil {
		t.Errorf("refusal when the hold is over = %v", err)
	}
}

func TestFaultIsOfOneVersion(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	broken := errors.New("broken")
	var f fault
	f.startFailed(now, 1, broken)
	f.startFailed(now, 1, broken)
	if err := f.refusal(now, 1); !errors.Is(err, broken) {
		t.Errorf("refusal of the version that failed = %v, want %v", err, broken)
	}
	if err := f.refusal(now, 2); err != nil || f.held(now, 2, false) {
		t.Errorf("another version is refused with %v", err)
	}
	f.startFailed(now, 2, broken)
	if got := f.until.Sub(now); got != time.Second {
		t.Errorf("another version's first failure holds %v, want a second", got)
	}
}

func TestEarlyEndHoldsOnlyStartsThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	var f fault
	f.ended(now, 1)
	if !f.held(now, 1, false) {
		t.Error("a start for a reservation is not held")
	}
	if f.held(now, 1, true) || f.refusal(now, 1) != nil {
		t.Error("a call that waits is held")
	}
	f.ended(now, 1)
	f.lived(1, steady-1)
	f.ended(now, 1)
	if got := f.until.Sub(now); got != 4*time.Second {
		t.Errorf("after short lives the hold is %v, want four seconds", got)
	}
	f.lived(1, steady)
	f.ended(now, 1)
	if got := f.until.Sub(now); got != time.Second {
		t.Errorf("after a steady life the hold is %v, want a second", got)
	}
}
