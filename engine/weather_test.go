package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// weather is everything that may happen to the pods of an app, at random.
type weather struct {
	*bench
	t      *testing.T
	random *rand.Rand
	driver *icy
	slots  uint32
	calls  sync.WaitGroup
	// answered counts the calls that were, by what they came to.
	mu       sync.Mutex
	answered map[string]int
	broken   atomic.Bool
	in       loads
}

// mostSlots is the highest max_concurrency that the app is given.
const mostSlots = 6

// Whatever happens: no call is without an answer, no place and no slot is lost, and nothing is left in the end.
func TestPoolWeathersEverything(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inTheCold(t, 300, func(t *testing.T, b *bench, d *icy) {
				w := &weather{bench: b, t: t, random: rand.New(rand.NewPCG(seed, 7)), driver: d, slots: 4, answered: make(map[string]int)}
				w.starting = w.start
				w.shelf.publish(store.Config{MaxConcurrency: w.slots, Limits: store.Limits{TimeoutSecs: 20}})
				for range 800 {
					w.step()
				}
				w.calm()
			})
		})
	}
}

// start is sometimes slow, and sometimes fails.
func (w *weather) start(ctx context.Context, _ pod.Spec) error {
	if err := sleep(ctx, rand.N(3*time.Second)); err != nil {
		return context.Cause(ctx)
	}
	if w.broken.Load() {
		return errors.New("exit status 1")
	}
	return nil
}

func (w *weather) step() {
	switch w.random.IntN(40) {
	case 0:
		w.shelf.publish(store.Config{MaxConcurrency: w.slots, Limits: store.Limits{TimeoutSecs: 20}})
	case 1:
		w.shelf.change(func(app *store.App) { app.ActiveVersion = 1 + w.random.Uint32N(app.LatestVersion) })
	case 2, 3:
		w.shelf.change(w.configure)
	case 4:
		w.broken.Store(w.random.IntN(3) == 0)
	case 5:
		if running := w.bench.driver.Running(); len(running) > 0 {
			running[w.random.IntN(len(running))].Crash("weather")
		}
	case 6:
		w.expect(w.t.Context(), testApp, w.random.IntN(30))
	case 7:
		elapse(time.Duration(w.random.IntN(400)) * time.Second)
	case 8:
		w.driver.broken.Store(w.random.IntN(4) == 0)
	default:
		for range 1 + w.random.IntN(6) {
			w.calls.Go(w.callSomehow)
		}
		elapse(time.Duration(w.random.IntN(700)) * time.Millisecond)
	}
	if c := w.census(w.t.Context(), testApp); c.Desired > c.MaxReplicas || c.Ready > 2*c.MaxReplicas || c.FrozenBytes > 300 {
		w.t.Errorf("census out of bounds: %+v", c)
	}
}

func (w *weather) configure(app *store.App) {
	app.MaxConcurrency = 1 + w.random.Uint32N(mostSlots)
	app.Scaling = store.Scaling{
		ReservedCapacity: w.random.Uint32N(3), MaxReplicas: w.random.Uint32N(7), Threshold: w.random.Uint32N(4), ScaledownPeriodSecs: w.random.Uint32N(90),
	}
	if w.random.IntN(2) == 0 {
		app.Scaling.Metric = byConcurrency
	}
}

// callSomehow makes a call that takes a while, and some that leave early or cannot reach their pod.
func (w *weather) callSomehow() {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second+rand.N(time.Minute))
	defer cancel()
	unreachable := rand.IntN(50) == 0
	err := w.carry(ctx, testApp, errand{held: rand.Int64N(100)}, func(g grant) error {
		if unreachable {
			unreachable = false
			return pod.ErrUnreachable
		}
		here, _ := w.in.into(g.target().Pod, 0)
		defer w.in.outOf(g.target().Pod)
		if here > mostSlots {
			w.t.Errorf("%d calls in a pod of %d slots at most", here, mostSlots)
		}
		select {
		case <-g.target().OutOfService:
			return pod.ErrBroken
		case <-time.After(rand.N(5 * time.Second)):
			return nil
		}
	})
	w.note(err)
}

func (w *weather) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, notStarted := errors.AsType[*pod.StartError](err)
	switch {
	case err == nil:
		w.answered["served"]++
	case errors.Is(err, pod.ErrBroken):
		w.answered["broken"]++
	case errors.Is(err, context.DeadlineExceeded):
		w.answered["left"]++
	case notStarted:
		w.answered["not started"]++
	default:
		w.t.Errorf("call: %v", err)
	}
}

// calm lets all calls end, and looks whether everything is as if nothing had happened.
func (w *weather) calm() {
	w.broken.Store(false)
	w.driver.broken.Store(false)
	w.calls.Wait()
	w.shelf.change(func(app *store.App) {
		app.Config = store.Config{MaxConcurrency: 2, Scaling: store.Scaling{MaxReplicas: 1}}
	})
	elapse(10 * time.Minute)
	if err := w.call(w.t.Context()); err != nil {
		w.t.Errorf("call after everything: %v", err)
	}
	synctest.Wait()
	c := w.census(w.t.Context(), testApp)
	if c.Ready != 1 || c.Starting+c.Draining+c.InFlight+c.Waiting != 0 || c.Desired != 1 {
		w.t.Errorf("census after everything: %+v", c)
	}
	release := make(chan struct{})
	end := w.holdMany(w.t, 3, release)
	if c := w.census(w.t.Context(), testApp); c.InFlight != 2 || c.Waiting != 1 {
		w.t.Errorf("census with three calls of two slots: %+v", c)
	}
	close(release)
	end()
	if w.held.calls != 0 || w.held.bytes != 0 {
		w.t.Errorf("%d places of %d bytes are taken by nobody", w.held.calls, w.held.bytes)
	}
	if w.answered["served"] == 0 || w.answered["broken"] == 0 || w.answered["not started"] == 0 {
		w.t.Errorf("too little happened: %v", w.answered)
	}
	w.t.Logf("answers %v, %d starts", w.answered, w.bench.driver.Started())
}
