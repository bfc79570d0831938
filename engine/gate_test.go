package engine

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/stream"
)

// No more steps run at a time than the gate has room for, and all of them run.
func TestGateBoundsSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const room, steps = 3, 50
		g := gate{newBudget(room, 0)}
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
				err := g.pass(t.Context(), appOf(testApp), func() {
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
	g := gate{newBudget(1, 0)}
	gone := errors.New("gone")
	ctx, leave := context.WithCancelCause(t.Context())
	leave(gone)
	err := g.pass(t.Context(), appOf(testApp), func() {
		if err := g.pass(ctx, appOf(testApp), func() { t.Error("it ran") }); !errors.Is(err, gone) {
			t.Errorf("answered %v, want the cause", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// While somebody submits there is less room, and more as soon as nobody does.
func TestGateIsNarrowWhileSomebodySubmits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var submitting atomic.Bool
		submitting.Store(true)
		g := newGate(submitting.Load)
		leave := make(chan struct{})
		var inside atomic.Int64
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if err := g.pass(t.Context(), appOf(testApp), func() { inside.Add(1); <-leave }); err != nil {
					t.Error(err)
				}
			})
		}
		processors := int64(runtime.GOMAXPROCS(0))
		synctest.Wait()
		narrow := inside.Load()
		if narrow == 0 || narrow > gateNarrow*processors {
			t.Errorf("%d steps run while somebody submits, want at most %d", narrow, gateNarrow*processors)
		}
		submitting.Store(false)
		leave <- struct{}{}
		synctest.Wait()
		if n := inside.Load() - 1; n <= narrow || n > gateWidth*processors {
			t.Errorf("%d steps run when nobody submits any more, want more than %d and at most %d", n, narrow, gateWidth*processors)
		}
		close(leave)
		all.Wait()
	})
}

// Of the steps that wait, one of each app has its turn, however many an app has and how long they have waited.
func TestAppsTakeTurnsBeforeTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gate{newBudget(1, 0)}
		many, few := stream.App{Org: "acme", Name: "many"}, stream.App{Org: "acme", Name: "few"}
		var order []string // of steps, which run one at a time
		var all sync.WaitGroup
		step := func(app stream.App) {
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
		g := gate{newBudget(1, 0)}
		gone := errors.New("gone")
		var all sync.WaitGroup
		for n := range 60 {
			ctx, leave := context.WithTimeoutCause(t.Context(), time.Duration(n%30)*time.Second, gone)
			defer leave()
			app := stream.App{Org: "acme", Name: string(rune('a' + n%3))}
			all.Go(func() {
				step := func() { time.Sleep(time.Second) } //nolint:forbidigo // free in a bubble
				if err := g.pass(ctx, app, step); err != nil && !errors.Is(err, gone) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if b := g.turns; b.all.used != 0 || len(b.all.waiting) != 0 || len(b.apps) != 0 {
			t.Errorf("left over: %d inside, %d organizations in line, %d apps", b.all.used, len(b.all.waiting), len(b.apps))
		}
	})
}
