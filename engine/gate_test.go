package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// No more steps run at a time than the gate has room for, and all of them run.
func TestGateBoundsSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const room, steps = 3, 50
		g := gate{submitting: func() bool { return true }, places: make(chan struct{}, room)}
		var running, most, done int
		var mu sync.Mutex
		count := func(change int) {
			mu.Lock()
			defer mu.Unlock()
			running += change
			most = max(most, running)
			done += max(-change, 0)
		}
		var all sync.WaitGroup
		for range steps {
			all.Go(func() {
				err := g.pass(t.Context(), func() {
					count(+1)
					time.Sleep(time.Second) //nolint:forbidigo // free in a bubble
					count(-1)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most != room || done != steps {
			t.Errorf("%d steps ran, at most %d at a time; want %d and %d", done, most, steps, room)
		}
	})
}

func TestGateDoesNotRunWhatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	g := gate{submitting: func() bool { return true }, places: make(chan struct{}, 1)}
	gone := errors.New("gone")
	ctx, leave := context.WithCancelCause(t.Context())
	leave(gone)
	err := g.pass(t.Context(), func() {
		if err := g.pass(ctx, func() { t.Error("it ran") }); !errors.Is(err, gone) {
			t.Errorf("answered %v, want the cause", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// While nobody submits, a step within a step finds room although there is one place.
func TestGateStandsOpenWhileNobodySubmits(t *testing.T) {
	t.Parallel()
	g := gate{submitting: func() bool { return false }, places: make(chan struct{}, 1)}
	ran := false
	err := g.pass(t.Context(), func() {
		if err := g.pass(t.Context(), func() { ran = true }); err != nil {
			t.Error(err)
		}
	})
	if err != nil || !ran {
		t.Errorf("the inner step ran: %v, %v", ran, err)
	}
}
