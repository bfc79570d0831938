package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

func TestPlacesAreBoundedByCountAndBytes(t *testing.T) {
	t.Parallel()
	p := newPlaces(3, 100)
	take := func(bytes int64, want bool) {
		t.Helper()
		if got := p.take(bytes); got != want {
			t.Errorf("a place for %d bytes beside %d calls of %d bytes: %v, want %v", bytes, p.calls, p.bytes, got, want)
		}
	}
	take(60, true)
	take(41, false)
	take(40, true)
	take(1, false)
	take(0, true)
	take(0, false)
	for _, bytes := range []int64{60, 40, 0} {
		p.giveBack(bytes)
	}
	take(1000, true) // alone
	take(1, false)
	take(0, true)
}

func TestHeldCallsAreBoundedPerAppAndPerProcess(t *testing.T) {
	// waits reports whether a call of so many bytes is held; it ends when release is closed.
	waits := func(t *testing.T, b *bench, app store.AppRef, held int64, release <-chan struct{}) bool {
		t.Helper()
		refused := make(chan error, 1)
		go func() {
			refused <- b.carry(t.Context(), app, errand{held: held}, func(grant) error {
				<-release
				return nil
			})
		}()
		synctest.Wait()
		select {
		case err := <-refused:
			if !errors.Is(err, pod.ErrBusy) {
				t.Errorf("call that is not held: %v, want ErrBusy", err)
			}
			return false
		default:
			return true
		}
	}
	type call struct {
		other bool
		held  int64
		want  bool
	}
	other := store.AppRef{Org: "acme", Name: "other"}
	for name, c := range map[string]struct {
		config Config
		calls  []call
	}{
		"calls of an app":   {Config{MaxHeld: 1}, []call{{false, 0, true}, {false, 0, false}, {true, 0, true}}},
		"bytes of an app":   {Config{MaxHeldBytes: 10}, []call{{false, 6, true}, {false, 6, false}, {false, 4, true}, {true, 6, true}}},
		"calls of all apps": {Config{MaxHeldAll: 2}, []call{{false, 0, true}, {true, 0, true}, {false, 0, false}, {true, 0, false}}},
		"bytes of all apps": {Config{MaxHeldBytesAll: 10}, []call{{false, 6, true}, {true, 6, false}, {true, 4, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, c.config, func(t *testing.T, b *bench) {
				b.shelf.publish(onePod(1))
				b.shelf.copyTo(other)
				release := make(chan struct{})
				defer close(release)
				for _, app := range []store.AppRef{testApp, other} { // the one slot of each
					if !waits(t, b, app, 0, release) {
						t.Fatal("the first call was refused")
					}
				}
				for n, call := range c.calls {
					app := testApp
					if call.other {
						app = other
					}
					if got := waits(t, b, app, call.held, release); got != call.want {
						t.Errorf("call %d of %s is held: %v, want %v", n+1, app, got, call.want)
					}
				}
			})
		})
	}
}

func TestPlacesAreFreeWhenNobodyWaits(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(onePod(1))
		b.starting = func(context.Context, pod.Spec) error { return errors.New("exit status 1") }
		for range 3 {
			if err := b.carry(t.Context(), testApp, errand{held: 7}, func(grant) error { return nil }); err == nil {
				t.Error("a call got a pod that did not start")
			}
			elapse(mostHold)
		}
		if b.held.calls != 0 || b.held.bytes != 0 {
			t.Errorf("%d places of %d bytes are taken by nobody", b.held.calls, b.held.bytes)
		}
	})
}
