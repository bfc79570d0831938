package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/store"
)

// No more steps run at a time than the gate has room for, and all of them run.
func TestGateBoundsSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const room, steps = 3, 50
		g := newGateOf(room, room, func() bool { return true })
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
				err := g.pass(t.Context(), testApp, func() {
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
	g := newGateOf(1, 1, func() bool { return true })
	gone := errors.New("gone")
	ctx, leave := context.WithCancelCause(t.Context())
	leave(gone)
	err := g.pass(t.Context(), testApp, func() {
		if err := g.pass(ctx, testApp, func() { t.Error("it ran") }); !errors.Is(err, gone) {
			t.Errorf("answered %v, want the cause", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// While nobody submits, a step within a step finds room although there is one place while somebody does.
func TestGateIsWiderWhileNobodySubmits(t *testing.T) {
	t.Parallel()
	g := newGateOf(1, 2, func() bool { return false })
	ran := false
	err := g.pass(t.Context(), testApp, func() {
		if err := g.pass(t.Context(), testApp, func() { ran = true }); err != nil {
			t.Error(err)
		}
	})
	if err != nil || !ran {
		t.Errorf("the inner step ran: %v, %v", ran, err)
	}
}

// Of the steps that wait, one of each app has its turn, however many an app has and how long they have waited.
func TestAppsTakeTurnsBeforeTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateOf(1, 1, func() bool { return true })
		many, few := store.AppRef{Org: "acme", Name: "many"}, store.AppRef{Org: "acme", Name: "few"}
		var order []string // of steps, which run one at a time
		var all sync.WaitGroup
		step := func(app store.AppRef) {
			all.Go(func() {
				err := g.pass(t.Context(), app, func() {
					time.Sleep(time.Second) //nolint:forbidigo // free in a bubble
					order = append(order, app.Name)
				})
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for range 5 {
			step(many)
		}
		step(few)
		step(few)
		all.Wait()
		if want := []string{"many", "many", "few", "many", "few", "many", "many"}; !slices.Equal(order, want) {
			t.Errorf("the order was %v, want %v", order, want)
		}
	})
}

// One that leaves has no turn, and the room that it was given as it left goes on.
func TestWhoLeavesTheGateKeepsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateOf(1, 1, func() bool { return true })
		gone := errors.New("gone")
		var all sync.WaitGroup
		for n := range 60 {
			ctx, leave := context.WithTimeoutCause(t.Context(), time.Duration(n%30)*time.Second, gone)
			defer leave()
			app := store.AppRef{Org: "acme", Name: string(rune('a' + n%3))}
			all.Go(func() {
				step := func() { time.Sleep(time.Second) } //nolint:forbidigo // free in a bubble
				if err := g.pass(ctx, app, step); err != nil && !errors.Is(err, gone) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if g.inside != 0 || len(g.waiting) != 0 || len(g.turns) != 0 {
			t.Errorf("left over: %d inside, %d apps in line, %d in turn", g.inside, len(g.waiting), len(g.turns))
		}
	})
}
