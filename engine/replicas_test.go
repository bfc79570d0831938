package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// loads counts the calls in each pod.
type loads struct {
	mu  sync.Mutex
	now map[string]int
}

// into answers how many calls the pod has, and the fewest that any pod of count has, with the new one.
func (l *loads) into(name string, pods int) (here, fewest int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		l.now = make(map[string]int)
	}
	l.now[name]++
	fewest = l.now[name]
	for _, calls := range l.now {
		fewest = min(fewest, calls)
	}
	if len(l.now) < pods {
		fewest = 0
	}
	return l.now[name], fewest
}

func (l *loads) outOf(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now[name]--
}

// pods fails the test unless so many run.
func (b *bench) pods(t *testing.T, when string, want int) {
	t.Helper()
	if got := len(b.driver.Running()); got != want {
		t.Errorf("%s: %d pods run, want %d", when, got, want)
	}
}

// holdMany makes so many calls that are held until release is closed, and waits until they are where they can be.
func (b *bench) holdMany(t *testing.T, calls int, release <-chan struct{}) (end func()) {
	t.Helper()
	var held []<-chan error
	for range calls {
		held = append(held, b.hold(t.Context(), release))
	}
	synctest.Wait()
	return func() {
		for _, call := range held {
			if err := <-call; err != nil {
				t.Errorf("call that was held: %v", err)
			}
		}
	}
}

func TestABurstStartsAsManyPodsAsItNeedsAndAFewAtATime(t *testing.T) {
	inBubble(t, Config{MaxReplicas: 50}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{MaxConcurrency: 10, Scaling: store.Scaling{MaxReplicas: 50}})
		var now, most atomic.Int32
		b.starting = func(ctx context.Context, _ pod.Spec) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			return sleep(ctx, time.Second)
		}
		release := make(chan struct{})
		end := b.holdMany(t, 95, release)
		if c := b.census(t.Context(), testApp); c.Starting != startsAtOnce || c.Desired != 10 || c.Waiting != 95 {
			t.Errorf("census while they start: %+v", c)
		}
		elapse(4 * time.Second)
		if c := b.census(t.Context(), testApp); c.Ready != 10 || c.Waiting != 0 || c.InFlight != 95 {
			t.Errorf("census when all have a slot: %+v", c)
		}
		if most.Load() != startsAtOnce || b.driver.Started() != 10 {
			t.Errorf("%d starts, %d at once; want 10, %d at once", b.driver.Started(), most.Load(), startsAtOnce)
		}
		close(release)
		end()
	})
}

// Never more than max_concurrency requests in a pod, never one pod overloaded while another idles.
func TestCallsAreSpreadOverThePods(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		const pods, slots = 4, 6
		b.shelf.publish(store.Config{MaxConcurrency: slots, Scaling: store.Scaling{ReservedCapacity: pods, MaxReplicas: pods}})
		synctest.Wait()
		var in loads
		var calls sync.WaitGroup
		for range 3000 {
			calls.Go(func() {
				err := b.do(t.Context(), testApp, direct, func(g grant) error {
					name := g.target().Pod
					here, fewest := in.into(name, pods)
					if here > slots {
						t.Errorf("%d calls in a pod of %d slots", here, slots)
					}
					if here-fewest > 2 { // one more, and one that is between its grant and here
						t.Errorf("a call went to a pod that has %d by now while another has %d", here, fewest)
					}
					defer in.outOf(name)
					return sleep(t.Context(), rand.N(100*time.Millisecond))
				})
				if err != nil {
					t.Errorf("call: %v", err)
				}
			})
			if rand.IntN(3) == 0 {
				elapse(time.Duration(rand.IntN(12)) * time.Millisecond)
			}
		}
		calls.Wait()
	})
}

func TestRateOfCallsDecidesAndThenThePeriod(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(scaling(store.Scaling{Threshold: 10, ScaledownPeriodSecs: 60}))
		callFor := func(d time.Duration, every time.Duration) {
			t.Helper()
			for began := time.Now(); time.Since(began) < d; elapse(every) {
				if err := b.call(t.Context()); err != nil {
					t.Fatalf("call: %v", err)
				}
			}
		}
		callFor(2*time.Minute, 25*time.Millisecond)
		b.pods(t, "at 40 calls a second", 4)
		callFor(75*time.Second, 100*time.Millisecond)
		b.pods(t, "within the period after the rate fell below 30", 4)
		callFor(10*time.Second, 100*time.Millisecond)
		b.pods(t, "and after it", 3)
		callFor(40*time.Second, 100*time.Millisecond)
		b.pods(t, "at 10 calls a second for two minutes", 1)
		elapse(59 * time.Second)
		b.pods(t, "within the period after the last call", 1)
		elapse(2 * time.Second)
		b.pods(t, "after the period", 0)
	})
}

func TestCallsInFlightDecide(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(scaling(store.Scaling{Threshold: 10, Metric: byConcurrency}))
		release := make(chan struct{})
		end := b.holdMany(t, 30, release)
		elapse(2 * time.Second)
		b.pods(t, "with 30 calls in flight", 3)
		close(release)
		end()
		elapse(299 * time.Second)
		b.pods(t, "within the period", 3)
		elapse(2 * time.Second)
		b.pods(t, "after the period", 0)
	})
}

// A keeper that has nothing to do sleeps; calls that all find a slot wake it, too.
func TestTrafficIsNoticedAfterALongQuiet(t *testing.T) {
	quiet := func(t *testing.T, b *bench, s store.Scaling) {
		t.Helper()
		b.shelf.publish(scaling(s))
		elapse(20 * time.Minute)
		b.pods(t, "without calls", 1)
	}
	t.Run("by rate", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			quiet(t, b, store.Scaling{Threshold: 10, ReservedCapacity: 1})
			for began := time.Now(); time.Since(began) < 2*time.Minute; elapse(25 * time.Millisecond) {
				if err := b.call(t.Context()); err != nil {
					t.Fatalf("call: %v", err)
				}
			}
			b.pods(t, "at 40 calls a second", 4)
		})
	})
	t.Run("by calls in flight", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			quiet(t, b, store.Scaling{Threshold: 10, Metric: byConcurrency, ReservedCapacity: 1})
			release := make(chan struct{})
			end := b.holdMany(t, 30, release)
			elapse(2 * time.Second)
			b.pods(t, "with 30 calls in flight", 3)
			close(release)
			end()
		})
	})
}

func TestLeastScaledownIsTheFloorOfThePeriod(t *testing.T) {
	inBubble(t, Config{LeastScaledown: 45 * time.Second}, func(t *testing.T, b *bench) {
		b.shelf.publish(scaling(store.Scaling{ScaledownPeriodSecs: 5}))
		b.target(t)
		elapse(44 * time.Second)
		b.pods(t, "below the floor", 1)
		elapse(2 * time.Second)
		b.pods(t, "over the floor", 0)
		if c := b.census(t.Context(), testApp); c.LeastScaledownSecs != 45 || c.MaxReplicas != 5 {
			t.Errorf("census does not tell the bounds: %+v", c)
		}
	})
}

func TestQueuedWorkIsDemand(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		synctest.Wait() // the dispatcher has read it by now, and does so again when an app changes
		b.reserved = nil
		b.shelf.publish(store.Config{MaxConcurrency: 10})
		b.expect(t.Context(), testApp, 0)
		if pools := len(b.all()); pools != 0 {
			t.Errorf("%d pools for no work", pools)
		}
		b.expect(t.Context(), testApp, 25)
		synctest.Wait()
		if c := b.census(t.Context(), testApp); c.Ready != 3 || c.Queued != 25 || c.Desired != 3 {
			t.Errorf("census with 25 jobs in the queue: %+v", c)
		}
		if n, _, err := b.vacancies(t.Context(), testApp); n != 30 || err != nil {
			t.Errorf("%d vacancies, error %v, want 30", n, err)
		}
		elapse(expectPatience)
		if c := b.census(t.Context(), testApp); c.Queued != 0 {
			t.Errorf("census when nobody spoke of jobs for long: %+v", c)
		}
		elapse(300 * time.Second)
		b.pods(t, "after the period", 0)
	})
}

func TestVacanciesCountWhatStartingPodsWillHold(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{MaxConcurrency: 10, Scaling: store.Scaling{MaxReplicas: 3}})
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, time.Second) }
		vacant := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if n, _, err := b.vacancies(t.Context(), testApp); n != want || err != nil {
				t.Errorf("%s: %d vacancies, error %v, want %d", when, n, err, want)
			}
		}
		vacant("before anything is known", 10)
		b.expect(t.Context(), testApp, 1000)
		vacant("while all that there may be start", 30)
		release := make(chan struct{})
		end := b.holdMany(t, 4, release)
		vacant("with callers in line", 26)
		elapse(time.Second)
		vacant("when they are up", 26)
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, time.Minute) }
		b.shelf.publish(store.Config{MaxConcurrency: 10, Scaling: store.Scaling{MaxReplicas: 3}})
		vacant("while others come in their place", 26)
		close(release)
		end()
	})
}

// UpdateAppConfig takes effect without a restart.
func TestConfigurationTakesEffectAtOnce(t *testing.T) {
	t.Run("max_concurrency", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(onePod(2))
			release := make(chan struct{})
			end := b.holdMany(t, 5, release)
			inFlight := func(when string, want, waiting int) {
				t.Helper()
				synctest.Wait()
				if c := b.census(t.Context(), testApp); c.InFlight != want || c.Waiting != waiting {
					t.Errorf("%s: %+v, want %d in flight and %d waiting", when, c, want, waiting)
				}
			}
			inFlight("at first", 2, 3)
			b.shelf.change(func(app *store.App) { app.MaxConcurrency = 4 })
			inFlight("with more slots", 4, 1)
			b.shelf.change(func(app *store.App) { app.MaxConcurrency = 1 })
			inFlight("with fewer", 4, 1)
			if b.driver.Started() != 1 {
				t.Errorf("%d starts, want 1", b.driver.Started())
			}
			close(release)
			end()
		})
	})
	t.Run("reserved_capacity", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(store.Config{})
			synctest.Wait()
			b.shelf.change(func(app *store.App) { app.Scaling.ReservedCapacity = 3 })
			synctest.Wait()
			b.pods(t, "with three reserved", 3)
			elapse(24 * time.Hour)
			b.pods(t, "after a day without a call", 3)
			b.shelf.change(func(app *store.App) { app.Scaling.ReservedCapacity = 2 })
			elapse(300 * time.Second)
			b.pods(t, "with two", 2)
		})
	})
	t.Run("max_replicas", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(store.Config{MaxConcurrency: 1})
			release := make(chan struct{})
			end := b.holdMany(t, 4, release)
			b.pods(t, "with four calls", 4)
			b.shelf.change(func(app *store.App) { app.Scaling.MaxReplicas = 2 })
			synctest.Wait()
			if c := b.census(t.Context(), testApp); c.Ready != 2 || c.Draining != 2 || c.InFlight != 4 {
				t.Errorf("census with a lower maximum: %+v", c)
			}
			close(release)
			end()
			synctest.Wait()
			b.pods(t, "after the drain", 2)
		})
	})
	t.Run("scaledown_period_secs", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(store.Config{})
			b.target(t)
			elapse(100 * time.Second)
			b.pods(t, "within 300 s", 1)
			b.shelf.change(func(app *store.App) { app.Scaling.ScaledownPeriodSecs = 90 })
			synctest.Wait()
			b.pods(t, "with a period that is over", 0)
		})
	})
}

func TestScaleDownTakesIdlePodsFirst(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{MaxConcurrency: 10, Scaling: store.Scaling{ReservedCapacity: 4}})
		synctest.Wait()
		release := make(chan struct{})
		end := b.holdMany(t, 2, release) // in two pods
		b.shelf.change(func(app *store.App) { app.Scaling.MaxReplicas, app.Scaling.ReservedCapacity = 2, 2 })
		synctest.Wait()
		b.pods(t, "with two that are not idle", 2)
		if c := b.census(t.Context(), testApp); c.InFlight != 2 || c.Ready != 2 || c.Draining != 0 {
			t.Errorf("census: %+v", c)
		}
		close(release)
		end()
	})
}

// A WebSocket or a stream is a call that lasts: it has the app's timeout from when its pod drains.
func TestScaleDownWaitsForCallsInFlight(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{Limits: store.Limits{TimeoutSecs: 40}, MaxConcurrency: 1})
		release := make(chan struct{})
		var began time.Time
		cut := make(chan time.Duration, 2)
		for range 2 {
			go func() {
				cut <- duration(b.do(t.Context(), testApp, direct, func(g grant) error {
					select {
					case <-g.target().OutOfService:
						return lasted(time.Since(began))
					case <-release:
						return nil
					}
				}))
			}()
		}
		elapse(time.Hour)
		began = time.Now()
		b.shelf.change(func(app *store.App) { app.Scaling.MaxReplicas = 1 })
		if lasted := <-cut; lasted != 40*time.Second {
			t.Errorf("the call in the pod that drains lasted %v more, want 40 s", lasted)
		}
		synctest.Wait()
		b.pods(t, "after the drain", 1)
		close(release)
		if lasted := <-cut; lasted != 0 {
			t.Errorf("the call in the other pod was cut after %v", lasted)
		}
	})
}

// lasted is the error of a call that was cut.
type lasted time.Duration

func (lasted) Error() string { return "cut off" }

func duration(err error) time.Duration {
	l, _ := errors.AsType[lasted](err)
	return time.Duration(l)
}

func TestDrainingPodIsTakenBackWhenItIsWantedAgain(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		reserve := func(pods uint32) {
			b.shelf.change(func(app *store.App) { app.Scaling.ReservedCapacity, app.Scaling.MaxReplicas = pods, pods })
			synctest.Wait()
		}
		b.shelf.publish(store.Config{})
		reserve(2)
		release := make(chan struct{})
		end := b.holdMany(t, 2, release)
		reserve(1)
		if c := b.census(t.Context(), testApp); c.Ready != 1 || c.Draining != 1 {
			t.Fatalf("census with one reserved: %+v", c)
		}
		reserve(2)
		elapse(time.Hour)
		if c := b.census(t.Context(), testApp); c.Ready != 2 || c.Draining != 0 || c.InFlight != 2 || b.driver.Started() != 2 {
			t.Errorf("%d starts, census %+v; want two pods and no more starts", b.driver.Started(), c)
		}
		close(release)
		end()
	})
}

func TestStartsThatFailTogetherAreOneFailure(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{MaxConcurrency: 1})
		b.starting = func(ctx context.Context, _ pod.Spec) error {
			_ = sleep(ctx, time.Second)
			return errors.New("exit status 1")
		}
		failing := func(calls, starts int) {
			t.Helper()
			before := b.driver.Started()
			var group sync.WaitGroup
			for range calls {
				group.Go(func() {
					if _, ok := errors.AsType[*pod.StartError](b.call(t.Context())); !ok {
						t.Error("a call that waited did not get the reason")
					}
				})
			}
			group.Wait()
			synctest.Wait()
			if got := b.driver.Started() - before; got != starts {
				t.Errorf("%d starts for %d calls, want %d", got, calls, starts)
			}
		}
		failing(4, 4)
		failing(4, 0) // at once
		elapse(leastHold)
		failing(4, 1)
	})
}

func TestAPodThatServesOutweighsStartsThatFail(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{MaxConcurrency: 1})
		release := make(chan struct{})
		end := b.holdMany(t, 1, release)
		b.starting = func(context.Context, pod.Spec) error { return errors.New("no memory left") }
		more := b.holdMany(t, 3, release)
		elapse(10 * time.Second)
		if c := b.census(t.Context(), testApp); c.Waiting != 3 || c.LastError == "" {
			t.Errorf("census: %+v, want those that wait for the one pod, and the error", c)
		}
		if got := b.driver.Started(); got > 3+6 {
			t.Errorf("%d starts in ten seconds", got)
		}
		close(release)
		end()
		more()
	})
}
