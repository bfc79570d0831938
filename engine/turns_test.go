package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// wakeAll calls so many apps at once.
func (b *bench) wakeAll(t *testing.T, apps int) (calls *sync.WaitGroup) {
	t.Helper()
	calls = new(sync.WaitGroup)
	for n := range apps {
		app := store.AppRef{Org: "acme", Name: fmt.Sprintf("app-%d", n)}
		b.shelf.copyTo(app)
		calls.Go(func() {
			if err := b.do(t.Context(), app, direct, func(grant) error { return nil }); err != nil {
				t.Errorf("call of %s: %v", app, err)
			}
		})
	}
	synctest.Wait()
	return calls
}

func TestManyAppsThatWakeAtOnceStartInTurns(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, time.Second) }
		most := cap(b.turns)
		began := time.Now()
		calls := b.wakeAll(t, 3*most)
		if got := b.driver.Started(); got != most {
			t.Errorf("%d starts at once, want %d", got, most)
		}
		calls.Wait()
		if took := time.Since(began); took != 3*time.Second || b.driver.Started() != 3*most {
			t.Errorf("%d starts took %v, want %d in 3 s", b.driver.Started(), took, 3*most)
		}
	})
}

func TestStartsThatHangDoNotKeepOthersFromTheirTurn(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, time.Minute) }
		hanging := b.wakeAll(t, cap(b.turns))
		began := time.Now()
		b.starting = func(context.Context, pod.Spec) error { return nil }
		if target := b.target(t); target.Waited != turnLimit {
			t.Errorf("call waited for %v, want %v", target.Waited, turnLimit)
		}
		hanging.Wait()
		if took := time.Since(began); took != time.Minute || len(b.turns) != 0 {
			t.Errorf("after %v there are %d turns taken, want none after a minute", took, len(b.turns))
		}
	})
}

func TestWaitForATurnIsWithinTheColdStartBudget(t *testing.T) {
	inBubble(t, Config{ColdStartBudget: time.Second}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		for range cap(b.turns) {
			if _, err := b.turns.take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		timeout, ok := errors.AsType[*pod.TimeoutError](b.call(t.Context()))
		if !ok || timeout.Clock != pod.ClockColdStart {
			t.Errorf("call: %v, want a cold start that timed out", timeout)
		}
	})
}
