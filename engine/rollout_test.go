package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

func three() store.Config {
	return store.Config{Scaling: store.Scaling{ReservedCapacity: 3, MaxReplicas: 3}}
}

func TestRolloutNeverHasFewerPodsThanBefore(t *testing.T) {
	inBubble(t, Config{MaxReplicas: 3}, func(t *testing.T, b *bench) {
		b.shelf.publish(three())
		synctest.Wait()
		var starts atomic.Int32
		b.starting = func(ctx context.Context, _ pod.Spec) error {
			return sleep(ctx, time.Duration(starts.Add(1))*10*time.Second) // one after the other
		}
		b.shelf.publish(three())
		for range 29 {
			elapse(time.Second)
			if c := b.census(t.Context(), testApp); c.Ready < 3 || !slices.Contains(c.Serving, 1) {
				t.Fatalf("census during the rollout: %+v", c)
			}
		}
		elapse(2 * time.Second)
		if c := b.census(t.Context(), testApp); c.Ready != 3 || !slices.Equal(c.Serving, []uint32{2}) || c.Starting != 0 || c.Desired != 3 {
			t.Errorf("census after the rollout: %+v", c)
		}
		b.pods(t, "after the rollout", 3)
	})
}

func TestVersionThatDoesNotComeUpIsTold(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(three())
		synctest.Wait()
		var mended atomic.Bool
		b.starting = func(context.Context, pod.Spec) error {
			if mended.Load() {
				return nil
			}
			return errors.New("no such module")
		}
		b.shelf.publish(three())
		for range 120 {
			elapse(time.Second)
			if target := b.target(t); target.Version != 1 || target.Cold {
				t.Fatalf("call went to %+v", target)
			}
		}
		c := b.census(t.Context(), testApp)
		if c.Failed != 2 || c.LastError == "" || c.Ready != 3 || !slices.Equal(c.Serving, []uint32{1}) {
			t.Errorf("census: %+v", c)
		}
		if got := b.driver.Started(); got > 3+startsAtOnce+8 {
			t.Errorf("%d starts in two minutes", got)
		}
		mended.Store(true)
		elapse(mostHold)
		if c := b.census(t.Context(), testApp); c.Failed != 0 || c.LastError != "" || !slices.Equal(c.Serving, []uint32{2}) {
			t.Errorf("census when it came up after all: %+v", c)
		}
	})
}

func TestRollbackIsAWarmStartWhileTheOldPodsStand(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(three())
		synctest.Wait()
		release := make(chan struct{})
		end := b.holdMany(t, 3, release) // one in each pod, so that they drain for long
		b.shelf.publish(three())
		synctest.Wait()
		if c := b.census(t.Context(), testApp); c.Ready != 3 || c.Draining != 3 || !slices.Equal(c.Serving, []uint32{2}) {
			t.Fatalf("census after the rollout: %+v", c)
		}
		b.starting = func(context.Context, pod.Spec) error { return errors.New("no pod is to be started") }
		b.shelf.activate(1)
		synctest.Wait()
		if c := b.census(t.Context(), testApp); c.Ready != 3 || c.Draining != 0 || !slices.Equal(c.Serving, []uint32{1}) {
			t.Errorf("census after the rollback: %+v", c)
		}
		if target := b.target(t); target.Version != 1 || target.Cold || target.Waited != 0 {
			t.Errorf("call went to %+v", target)
		}
		elapse(time.Hour) // the drain that was begun does not cut them
		close(release)
		end()
		b.pods(t, "after the rollback", 3)
	})
}

func TestUnreachablePodDoesNotComeBack(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(onePod(2))
		release := make(chan struct{})
		end := b.holdMany(t, 1, release)
		first := b.driver.Running()[0].Name()
		tries := 0
		err := b.do(t.Context(), testApp, direct, func(g grant) error {
			if tries++; g.target().Pod == first {
				return pod.ErrUnreachable
			}
			return nil
		})
		if err != nil || tries != 2 {
			t.Errorf("call: %v after %d tries", err, tries)
		}
		close(release)
		end()
	})
}

func TestVersionThatServesInPlaceOfABrokenOneGrows(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{MaxConcurrency: 1})
		b.target(t)
		var worse atomic.Bool
		b.starting = func(_ context.Context, spec pod.Spec) error {
			if spec.Version == 2 || worse.Load() {
				return errors.New("exit status 1")
			}
			return nil
		}
		b.shelf.publish(store.Config{MaxConcurrency: 1})
		synctest.Wait()
		release := make(chan struct{})
		end := b.holdMany(t, 3, release)
		c := b.census(t.Context(), testApp)
		if c.Ready != 3 || c.InFlight != 3 || !slices.Equal(c.Serving, []uint32{1}) || c.Failed != 2 {
			t.Errorf("census: %+v, want three pods of the version that comes up", c)
		}
		worse.Store(true)
		started := b.driver.Started()
		more := b.holdMany(t, 1, release)
		elapse(time.Minute)
		if got := b.driver.Started() - started; got > 2*7 {
			t.Errorf("%d starts of two versions in a minute when none comes up", got)
		}
		close(release)
		end()
		more()
		if c := b.census(t.Context(), testApp); c.LastError == "" {
			t.Errorf("census: %+v, want why the active version does not come up", c)
		}
		if target := b.target(t); target.Version != 1 {
			t.Errorf("call went to %+v", target)
		}
	})
}

func TestNoCallIsLostWhilePodsComeAndGo(t *testing.T) {
	for name, bytes := range map[string]int64{"stopped": 0, "frozen": 1000} {
		t.Run(name, func(t *testing.T) {
			inTheCold(t, bytes, func(t *testing.T, b *bench, _ *icy) {
				b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, 700*time.Millisecond) }
				config := store.Config{MaxConcurrency: 20, Scaling: store.Scaling{Threshold: 40, ScaledownPeriodSecs: 30}}
				b.shelf.publish(config)
				var calls sync.WaitGroup
				for n := range 12_000 { // 200 a second for a minute, each of 50 ms
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
					switch n % 2000 {
					case 300:
						b.shelf.publish(config)
					case 800:
						b.shelf.change(func(app *store.App) { app.Scaling.MaxReplicas = 1 })
					case 1200:
						b.shelf.change(func(app *store.App) { app.Scaling.MaxReplicas = 4 })
					case 1500:
						b.shelf.change(func(app *store.App) { app.ActiveVersion-- })
					}
				}
				calls.Wait()
			})
		})
	}
}
