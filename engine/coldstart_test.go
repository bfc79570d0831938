package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// The sentences of the page "Cold starts vs warm pods".
func TestColdStartsAndWarmPods(t *testing.T) {
	slowStart := func(b *bench, d time.Duration) {
		b.starting = func(ctx context.Context, _ pod.Spec) error {
			if err := sleep(ctx, d); err != nil {
				return context.Cause(ctx)
			}
			return nil
		}
	}
	t.Run("the first request to a scaled-to-zero app isn't rejected, it just waits", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(store.Config{})
			slowStart(b, 9*time.Minute)
			if target := b.target(t); !target.Cold || target.Waited != 9*time.Minute {
				t.Errorf("it went to %+v", target)
			}
		})
	})
	t.Run("the gateway waits up to the cold-start budget (default 600s) for the pod", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(store.Config{})
			slowStart(b, time.Hour)
			began := time.Now()
			timeout, ok := errors.AsType[*pod.TimeoutError](b.call(t.Context()))
			if waited := time.Since(began); !ok || timeout.Clock != pod.ClockColdStart || waited != 600*time.Second {
				t.Errorf("%v after %v", timeout, waited)
			}
		})
	})
	t.Run("once running, requests skip straight to the pod", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(store.Config{})
			slowStart(b, time.Minute)
			first := b.target(t)
			if target := b.target(t); target.Cold || target.Waited != 0 || target.Pod != first.Pod {
				t.Errorf("it went to %+v", target)
			}
		})
	})
	t.Run("an app stays up for scaledown_period_secs (default 300s) after traffic drops, then is scaled back toward zero", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(store.Config{})
			b.target(t)
			elapse(299 * time.Second)
			b.pods(t, "within the period", 1)
			elapse(time.Second)
			b.pods(t, "after the period", 0)
		})
	})
	t.Run("long-idle apps have their resources torn down, and the next request provisions them again", func(t *testing.T) {
		tornDown(t, Config{IdleTeardown: time.Hour}, func(t *testing.T, b *bench, d *unpacked) {
			b.shelf.publishCode("code", store.Config{})
			b.target(t)
			elapse(2 * time.Hour)
			d.has(t, "after two hours")
			b.target(t)
			d.has(t, "after the next request", "code")
		})
	})
	t.Run("reserved_capacity keeps that many pods always running", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(scaling(store.Scaling{ReservedCapacity: 3}))
			for range 48 {
				elapse(time.Hour)
				b.pods(t, "always", 3)
			}
		})
	})
	t.Run("those serve the first N concurrent requests with no cold start", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, b *bench) {
			b.shelf.publish(store.Config{MaxConcurrency: 1, Scaling: store.Scaling{ReservedCapacity: 3}})
			synctest.Wait()
			slowStart(b, time.Minute)
			release := make(chan struct{})
			end := b.holdMany(t, 3, release)
			if c := b.census(t.Context(), testApp); c.InFlight != 3 || c.Waiting != 0 {
				t.Errorf("census: %+v", c)
			}
			close(release)
			end()
		})
	})
	t.Run("and the app is exempt from idle teardown", func(t *testing.T) {
		tornDown(t, Config{IdleTeardown: time.Hour}, func(t *testing.T, b *bench, d *unpacked) {
			b.shelf.publishCode("code", scaling(store.Scaling{ReservedCapacity: 1}))
			elapse(24 * time.Hour)
			d.has(t, "after a day", "code")
		})
	})
}

// A published app that nobody calls has no pool, so that no number of them costs a goroutine or a timer.
func TestIdleAppsHaveNoPool(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		for n := range 200 {
			app := store.AppRef{Org: "acme", Name: fmt.Sprintf("app-%d", n)}
			b.shelf.copyTo(app)
			if err := b.do(t.Context(), app, direct, func(grant) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if pools := len(b.all()); pools != 200 {
			t.Fatalf("%d pools of 200 apps that were called", pools)
		}
		elapse(10 * time.Minute)
		if pools := len(b.all()); pools != 0 {
			t.Errorf("%d pools of apps that nobody calls", pools)
		}
	})
}

func TestFailureIsToldForADay(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		b.starting = func(context.Context, pod.Spec) error { return errors.New("exit status 1") }
		if err := b.call(t.Context()); err == nil {
			t.Fatal("it came up")
		}
		elapse(23 * time.Hour)
		if c := b.census(t.Context(), testApp); c.LastError == "" || c.Failed != 1 {
			t.Errorf("census after a day: %+v", c)
		}
		elapse(2 * time.Hour)
		if pools := len(b.all()); pools != 0 {
			t.Errorf("%d pools are kept for an app that nobody calls", pools)
		}
	})
}
