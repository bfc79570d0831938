package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

func scaling(s store.Scaling) store.Config { return store.Config{Scaling: s} }

func TestIdlePodIsStoppedAfterTheScaledownPeriod(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(scaling(store.Scaling{ScaledownPeriodSecs: 60}))
		for range 5 {
			b.target(t)
			elapse(59 * time.Second)
			if got := len(b.driver.Running()); got != 1 {
				t.Fatalf("%d pods run within the period, want 1", got)
			}
		}
		elapse(2 * time.Second)
		if got := len(b.driver.Running()); got != 0 {
			t.Errorf("%d pods run after the period, want none", got)
		}
		if got := b.driver.Started(); got != 1 {
			t.Errorf("%d starts, want 1", got)
		}
		if target := b.target(t); !target.Cold {
			t.Error("a call found a pod that was scaled down")
		}
	})
}

func TestRunningCallKeepsItsPod(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(scaling(store.Scaling{ScaledownPeriodSecs: 60}))
		release := make(chan struct{})
		call := b.hold(t.Context(), release)
		elapse(time.Hour)
		if got := len(b.driver.Running()); got != 1 {
			t.Errorf("%d pods run under a call of an hour, want 1", got)
		}
		close(release)
		if err := <-call; err != nil {
			t.Errorf("call: %v", err)
		}
		elapse(59 * time.Second)
		if got := len(b.driver.Running()); got != 1 {
			t.Errorf("%d pods run within the period after the call, want 1", got)
		}
		elapse(2 * time.Minute)
		if got := len(b.driver.Running()); got != 0 {
			t.Errorf("%d pods run after the period, want none", got)
		}
	})
}

func TestReservedPodIsThereWithoutACall(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(scaling(store.Scaling{ReservedCapacity: 1}))
		synctest.Wait()
		if got := len(b.driver.Running()); got != 1 {
			t.Fatalf("%d pods run, want the reserved one", got)
		}
		elapse(24 * time.Hour)
		if target := b.target(t); target.Cold {
			t.Error("a call of an app with a reserved pod was cold")
		}
		b.shelf.change(func(app *store.App) { app.Scaling.ReservedCapacity = 0 })
		elapse(time.Hour)
		if got := len(b.driver.Running()); got != 0 {
			t.Errorf("%d pods run after the reservation ended, want none", got)
		}
	})
}

func TestPodsAreReservedWhileThePoolRetires(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		synctest.Wait()
		app, err := b.app(t.Context(), testApp)
		if err != nil {
			t.Fatal(err)
		}
		key := poolKey{app.AppRef, app.Incarnation}
		retired := newPool(b.dispatcher, key, app)
		retired.closed = errRetired
		b.mu.Lock()
		b.pools[key] = retired // as between the last look of its keeper and the end of that
		b.mu.Unlock()
		b.shelf.change(func(app *store.App) { app.Scaling.ReservedCapacity = 1 })
		synctest.Wait()
		b.forget(retired)
		synctest.Wait()
		b.pods(t, "when the pool is gone", 1)
	})
}

func TestReservedPodThatAlwaysEndsIsNotStartedInACircle(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(scaling(store.Scaling{ReservedCapacity: 1}))
		began := time.Now()
		for time.Since(began) < 5*time.Minute {
			synctest.Wait()
			for _, running := range b.driver.Running() {
				running.Crash("exit status 1")
			}
			elapse(100 * time.Millisecond)
		}
		// 1, 2, 4, 8 and 16 s apart, and then half a minute.
		if got := b.driver.Started(); got < 10 || got > 16 {
			t.Errorf("%d starts in five minutes, want some 14", got)
		}
		if err := b.call(t.Context()); err != nil {
			t.Errorf("a call that asks for a pod: %v", err)
		}
	})
}

func TestPublishedVersionComesUpBeforeTheOldOneDrains(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		release := make(chan struct{})
		old := b.hold(t.Context(), release)
		synctest.Wait()

		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, 10*time.Second) }
		b.shelf.publish(store.Config{})
		elapse(9 * time.Second)
		if target := b.target(t); target.Version != 1 || target.Cold {
			t.Errorf("while the new version starts, a call went to %+v", target)
		}
		elapse(2 * time.Second)
		if target := b.target(t); target.Version != 2 || target.Cold {
			t.Errorf("when the new version was up, a call went to %+v", target)
		}
		if got := len(b.driver.Running()); got != 2 {
			t.Errorf("%d pods run while the old one drains, want 2", got)
		}
		close(release)
		if err := <-old; err != nil {
			t.Errorf("call in the old version: %v", err)
		}
		synctest.Wait()
		if got := len(b.driver.Running()); got != 1 {
			t.Errorf("%d pods run after the drain, want 1", got)
		}
	})
}

func TestDrainEndsWithTheAppsTimeout(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		config := store.Config{Limits: store.Limits{TimeoutSecs: 30}}
		b.shelf.publish(config)
		var cut time.Duration
		call := make(chan error, 1)
		go func() {
			call <- b.do(t.Context(), testApp, direct, func(g grant) error {
				began := time.Now()
				<-g.target().OutOfService
				cut = time.Since(began)
				return nil
			})
		}()
		synctest.Wait()
		b.shelf.publish(config)
		if err := <-call; err != nil {
			t.Errorf("call: %v", err)
		}
		if cut != 30*time.Second {
			t.Errorf("the old pod was out of service after %v, want 30 s", cut)
		}
	})
}

func TestVersionThatDoesNotComeUpLeavesTheOldOneServing(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		b.target(t)
		b.starting = func(context.Context, pod.Spec) error { return errors.New("exit status 1") }
		b.shelf.publish(store.Config{})
		for range 60 {
			elapse(time.Second)
			if target := b.target(t); target.Version != 1 || target.Cold {
				t.Fatalf("call went to %+v, want the old version", target)
			}
		}
		if c := b.census(t.Context(), testApp); c.LastError == "" || c.Ready != 1 {
			t.Errorf("census: %+v", c)
		}
		if got := b.driver.Started(); got < 4 || got > 8 {
			t.Errorf("%d starts in a minute", got)
		}
		b.shelf.activate(1)
		elapse(time.Minute)
		if got := b.driver.Started(); got > 8 {
			t.Error("a version that was rolled back is still started")
		}
	})
}

func TestRollbackGivesUpAStart(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		b.target(t)
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, time.Minute) }
		b.shelf.publish(store.Config{})
		synctest.Wait()
		b.shelf.activate(1)
		synctest.Wait()
		if c := b.census(t.Context(), testApp); c.Ready != 1 || c.Starting != 0 || c.InFlight != 0 || c.LastError != "" {
			t.Errorf("census after the rollback: %+v", c)
		}
		if target := b.target(t); target.Version != 1 || target.Cold {
			t.Errorf("call went to %+v, want the old version", target)
		}
	})
}

func TestNoCallIsLostWhileVersionsChange(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, 700*time.Millisecond) }
		b.shelf.publish(onePod(20))
		var calls sync.WaitGroup
		for n := range 4000 { // 200 a second for 20 s, each of 50 ms
			calls.Go(func() {
				err := b.do(t.Context(), testApp, direct, func(g grant) error {
					select {
					case <-g.target().OutOfService:
						return errors.New("cut off")
					case <-time.After(50 * time.Millisecond):
						return nil
					}
				})
				if err != nil {
					t.Errorf("call %d: %v", n, err)
				}
			})
			elapse(5 * time.Millisecond)
			switch n % 900 {
			case 450:
				b.shelf.publish(onePod(20))
			case 700:
				b.shelf.activate(1)
			}
		}
		calls.Wait()
		elapse(time.Second)
		if got := len(b.driver.Running()); got != 1 {
			t.Errorf("%d pods run in the end, want 1", got)
		}
	})
}

func TestPoolOfAQuietAppIsForgotten(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		synctest.Wait() // the dispatcher has read it by now, and does so again when an app changes
		b.reserved = nil
		b.shelf.publish(scaling(store.Scaling{ScaledownPeriodSecs: 1}))
		b.target(t)
		elapse(10 * time.Minute)
		b.mu.RLock()
		pools := len(b.pools)
		b.mu.RUnlock()
		if pools != 0 {
			t.Errorf("%d pools are kept, want none", pools)
		}
		b.target(t)
	})
}

func TestVacanciesAreWhatCouldStartNow(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(onePod(2))
		check := func(when string, want int) <-chan struct{} {
			t.Helper()
			n, changed, err := b.vacancies(t.Context(), testApp)
			if err != nil || n != want {
				t.Errorf("%s: %d vacancies, error %v, want %d", when, n, err, want)
			}
			return changed
		}
		check("while nothing runs", 2)
		release := make(chan struct{})
		first := b.hold(t.Context(), release)
		synctest.Wait()
		check("with one call", 1)
		second := b.hold(t.Context(), release)
		synctest.Wait()
		changed := check("with two", 0)
		close(release)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
		<-changed
		check("when they are over", 2)
	})
}

func TestVacanciesAreToldWhenNobodyIsLeftToFreeASlot(t *testing.T) {
	// noVacancy answers what is closed when there may be one again.
	noVacancy := func(t *testing.T, b *bench) <-chan struct{} {
		t.Helper()
		synctest.Wait()
		n, changed, err := b.vacancies(t.Context(), testApp)
		if n != 0 || err != nil {
			t.Fatalf("%d vacancies, error %v, want none", n, err)
		}
		return changed
	}
	told := func(t *testing.T, b *bench, changed <-chan struct{}) {
		t.Helper()
		synctest.Wait()
		if n, _, err := b.vacancies(t.Context(), testApp); n != 1 || err != nil || !isClosed(changed) {
			t.Errorf("%d vacancies, error %v, told %v", n, err, isClosed(changed))
		}
	}
	t.Run("the full pod crashed", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(onePod(1))
			release := make(chan struct{})
			call := b.hold(t.Context(), release)
			changed := noVacancy(t, b)
			b.driver.Running()[0].Crash("exit status 1")
			close(release)
			if err := <-call; err != nil {
				t.Errorf("call: %v", err)
			}
			told(t, b, changed)
		})
	})
	t.Run("the start that a full line waited for failed", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(onePod(1))
			fail := make(chan struct{})
			b.starting = func(context.Context, pod.Spec) error {
				<-fail
				return errors.New("exit status 1")
			}
			call := b.hold(t.Context(), nil)
			changed := noVacancy(t, b)
			close(fail)
			if err := <-call; err == nil {
				t.Error("a call went to a pod that did not start")
			}
			told(t, b, changed)
		})
	})
	t.Run("the callers in line left", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(onePod(1))
			b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, time.Minute) }
			ctx, leave := context.WithCancel(t.Context())
			call := b.hold(ctx, nil)
			changed := noVacancy(t, b)
			leave()
			if err := <-call; !errors.Is(err, context.Canceled) {
				t.Errorf("call: %v, want Canceled", err)
			}
			told(t, b, changed)
		})
	})
}

// slowDriver's pods take a while to stop.
type slowDriver struct{ pod.Driver }

type slowPod struct{ pod.Pod }

func (d slowDriver) Start(ctx context.Context, spec pod.Spec) (pod.Pod, error) {
	started, err := d.Driver.Start(ctx, spec)
	return slowPod{started}, err
}

func (p slowPod) Stop(ctx context.Context) error {
	return errors.Join(sleep(ctx, 10*time.Second), p.Pod.Stop(ctx))
}

func TestCallsDoNotWaitForTheStopOfAPodThatIsNotUsedAnyMore(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		synctest.Wait() // the dispatcher has read it by now, and does so again when an app changes
		b.dispatcher.driver = slowDriver{b.driver}
		b.reserved = nil
		b.shelf.publish(scaling(store.Scaling{ScaledownPeriodSecs: 120}))
		b.target(t)
		elapse(121 * time.Second)
		if got := len(b.driver.Running()); got != 1 {
			t.Fatalf("%d pods run, want the one that is being stopped", got)
		}
		b.mu.RLock()
		pools := len(b.pools)
		b.mu.RUnlock()
		if pools != 0 {
			t.Fatalf("%d pools that take no calls are still asked for slots", pools)
		}
		if target := b.target(t); !target.Cold || target.Waited != 0 {
			t.Errorf("call went to %+v, want a new pod at once", target)
		}
	})
}
