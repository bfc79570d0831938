package engine

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// broken lets pods of one version fail, and says so; 0 is none.
func (b *bench) broken() *atomic.Uint32 {
	version := new(atomic.Uint32)
	b.starting = func(_ context.Context, spec pod.Spec) error {
		if spec.Version == version.Load() {
			return errors.New("no such module")
		}
		return nil
	}
	return version
}

// crash ends the one pod that runs.
func (b *bench) crash() {
	b.driver.Running()[0].Crash("exit status 1")
	synctest.Wait()
}

// standingIn publishes a version that serves, and then one that does not come up.
func (b *bench) standingIn(t *testing.T) (broken *atomic.Uint32) {
	t.Helper()
	broken = b.broken()
	b.shelf.publish(store.Config{})
	b.target(t)
	broken.Store(2)
	b.shelf.publish(store.Config{})
	synctest.Wait()
	return broken
}

// wantVersion makes a call and fails the test unless it goes there.
func (b *bench) wantVersion(t *testing.T, when string, want uint32) {
	t.Helper()
	if target := b.target(t); target.Version != want {
		t.Errorf("%s: call went to version %d, want %d", when, target.Version, want)
	}
}

func TestOldVersionIsStartedAgainWhileTheNewOneDoesNotComeUp(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		broken := b.standingIn(t)
		for range 5 {
			b.crash()
			b.wantVersion(t, "when its only pod has crashed", 1)
			elapse(time.Minute)
		}
		elapse(time.Hour)
		b.pods(t, "when nobody called for an hour", 0)
		b.wantVersion(t, "when its pods were idle", 1)
		if c := b.census(t.Context(), testApp); c.Failed != 2 || !strings.Contains(c.LastError, "no such module") {
			t.Errorf("census: %+v, want why the active version does not come up", c)
		}
		broken.Store(0)
		elapse(mostHold)
		b.wantVersion(t, "when the new one came up after all", 2)
		b.crash()
		b.wantVersion(t, "when it has crashed", 2)
		b.pods(t, "in the end", 1)
	})
}

func TestCallsAreToldWhyTheNewVersionDoesNotComeUpIfTheOldOneDoesNotEither(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.standingIn(t)
		b.starting = func(_ context.Context, spec pod.Spec) error {
			return map[uint32]error{1: errors.New("disk is full"), 2: errors.New("no such module")}[spec.Version]
		}
		b.crash()
		told := func(when string) {
			t.Helper()
			if err := b.call(t.Context()); err == nil || !strings.Contains(err.Error(), "no such module") {
				t.Errorf("%s: %v, want the new version's error", when, err)
			}
		}
		told("the first call")
		started := b.driver.Started()
		told("the next, at once")
		if got := b.driver.Started(); got != started {
			t.Errorf("%d starts while both are held", got-started)
		}
	})
}

func TestVersionThatWasRolledBackDoesNotStandIn(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		broken := b.broken()
		b.shelf.publish(store.Config{})
		b.target(t)
		b.shelf.publish(store.Config{})
		b.target(t)
		b.shelf.activate(1)
		b.target(t)
		broken.Store(1)
		b.crash()
		if err := b.call(t.Context()); err == nil {
			t.Error("a call went to the version that was rolled back")
		}
	})
}

func TestFrozenPodStandsIn(t *testing.T) {
	inTheCold(t, 1000, func(t *testing.T, b *bench, d *icy) {
		b.standingIn(t)
		elapse(301 * time.Second)
		b.frozen(t, d, "after the period", 1)
		b.starting = func(context.Context, pod.Spec) error { return errors.New("nothing comes up") }
		b.wantVersion(t, "after the period", 1)
	})
}
