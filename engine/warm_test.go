package engine

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// icy is a driver whose pods can be frozen. Each holds 100 bytes.
type icy struct {
	pod.Driver
	frozen atomic.Int32
	// broken pods do not thaw.
	broken atomic.Bool
}

type icyPod struct {
	pod.Pod
	driver *icy
	frozen atomic.Bool
}

func (d *icy) Start(ctx context.Context, spec pod.Spec) (pod.Pod, error) {
	started, err := d.Driver.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return &icyPod{Pod: started, driver: d}, nil
}

func (p *icyPod) Freeze(context.Context) error {
	p.frozen.Store(true)
	p.driver.frozen.Add(1)
	return nil
}

func (p *icyPod) Thaw(context.Context) error {
	if p.driver.broken.Load() {
		return errors.New("stiff")
	}
	p.frozen.Store(false)
	p.driver.frozen.Add(-1)
	return nil
}

func (p *icyPod) MemoryBytes() (int64, error) { return 100, nil }

// inTheCold is inBubble with pods that can be frozen.
func inTheCold(t *testing.T, bytes int64, test func(t *testing.T, b *bench, d *icy)) {
	inBubble(t, Config{WarmPoolBytes: bytes}, func(t *testing.T, b *bench) {
		synctest.Wait() // the dispatcher has read its driver by now, and does so again when an app is called
		d := &icy{Driver: b.driver}
		b.dispatcher.driver = d
		test(t, b, d)
	})
}

// frozen fails the test unless the app has so many frozen pods, and so has the driver.
func (b *bench) frozen(t *testing.T, d *icy, when string, want int) {
	t.Helper()
	synctest.Wait()
	c := b.census(t.Context(), testApp)
	if c.Frozen != want || c.FrozenBytes != int64(100*want) || int(d.frozen.Load()) != want {
		t.Errorf("%s: %d are frozen, census %+v, want %d", when, d.frozen.Load(), c, want)
	}
}

func TestIdlePodIsFrozenAndThawsForTheNextCall(t *testing.T) {
	inTheCold(t, 1000, func(t *testing.T, b *bench, d *icy) {
		b.shelf.publish(store.Config{})
		first := b.target(t)
		elapse(301 * time.Second)
		b.frozen(t, d, "after the period", 1)
		elapse(24 * time.Hour)
		b.starting = func(context.Context, pod.Spec) error { return errors.New("nothing is to be started") }
		for range 3 {
			if target := b.target(t); target.Pod != first.Pod || target.Waited != 0 {
				t.Errorf("call went to %+v, want the pod that was frozen", target)
			}
		}
		b.frozen(t, d, "with calls", 0)
		elapse(301 * time.Second)
		b.frozen(t, d, "after the period again", 1)
		if c := b.census(t.Context(), testApp); c.Ready != 0 || c.Draining != 0 || c.Desired != 0 {
			t.Errorf("census counts it twice: %+v", c)
		}
	})
}

func TestFrozenPodsMakeRoom(t *testing.T) {
	inTheCold(t, 250, func(t *testing.T, b *bench, d *icy) {
		b.shelf.publish(store.Config{})
		apps := []store.AppRef{{Org: "acme", Name: "a"}, {Org: "acme", Name: "b"}, {Org: "acme", Name: "c"}}
		for n, app := range apps {
			b.shelf.copyTo(app)
			if err := b.do(t.Context(), app, direct, func(grant) error { return nil }); err != nil {
				t.Fatal(err)
			}
			elapse(301 * time.Second)
			b.pods(t, "frozen", min(n+1, 2))
		}
		for n, want := range []int{0, 1, 1} { // the one that rested longest is gone
			if c := b.census(t.Context(), apps[n]); c.Frozen != want {
				t.Errorf("app %s has %d frozen pods, want %d", apps[n], c.Frozen, want)
			}
		}
		if d.frozen.Load() != 2 {
			t.Errorf("%d are frozen: what is stopped is thawed before", d.frozen.Load())
		}
	})
}

func TestPodThatIsTooLargeIsStopped(t *testing.T) {
	for name, bytes := range map[string]int64{"nothing is frozen": 0, "there is room for less": 99} {
		t.Run(name, func(t *testing.T) {
			inTheCold(t, bytes, func(t *testing.T, b *bench, d *icy) {
				b.shelf.publish(store.Config{})
				b.target(t)
				elapse(301 * time.Second)
				b.frozen(t, d, "after the period", 0)
				b.pods(t, "after the period", 0)
			})
		})
	}
}

func TestRollbackThawsAPodOfTheOldVersion(t *testing.T) {
	inTheCold(t, 1000, func(t *testing.T, b *bench, d *icy) {
		b.shelf.publish(scaling(store.Scaling{ReservedCapacity: 2}))
		synctest.Wait()
		b.shelf.publish(scaling(store.Scaling{ReservedCapacity: 2}))
		b.frozen(t, d, "after the rollout", 1)
		b.pods(t, "after the rollout", 3)
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, time.Minute) }
		b.shelf.activate(1)
		synctest.Wait()
		c := b.census(t.Context(), testApp)
		if c.Starting != 1 || !slices.Equal(c.Serving, []uint32{1, 2}) || c.Frozen != 1 {
			t.Errorf("census after the rollback: %+v, want the old version's pod in place of one of the new", c)
		}
		elapse(time.Minute)
		if c := b.census(t.Context(), testApp); c.Ready != 2 || !slices.Equal(c.Serving, []uint32{1}) {
			t.Errorf("census in the end: %+v", c)
		}
	})
}

func TestFrozenPodThatCannotGoOnIsReplaced(t *testing.T) {
	for name, harm := range map[string]func(b *bench, d *icy){
		"it does not thaw": func(_ *bench, d *icy) { d.broken.Store(true) },
		"it has ended":     func(b *bench, _ *icy) { b.driver.Running()[0].Crash("killed") },
	} {
		t.Run(name, func(t *testing.T) {
			inTheCold(t, 1000, func(t *testing.T, b *bench, d *icy) {
				b.shelf.publish(store.Config{})
				first := b.target(t)
				elapse(301 * time.Second)
				harm(b, d)
				synctest.Wait()
				if target := b.target(t); target.Pod == first.Pod {
					t.Error("the call went to the pod that cannot go on")
				}
				synctest.Wait()
				b.pods(t, "in the end", 1)
			})
		})
	}
}

func TestFrozenPodLeavesWithItsApp(t *testing.T) {
	inTheCold(t, 1000, func(t *testing.T, b *bench, d *icy) {
		b.shelf.publish(store.Config{})
		b.target(t)
		elapse(301 * time.Second)
		b.frozen(t, d, "before", 1)
		b.shelf.remove()
		synctest.Wait()
		b.pods(t, "of a deleted app", 0)
		if b.warm.bytes != 0 || b.warm.berths.Len() != 0 {
			t.Errorf("%d bytes are held by %d pods that are gone", b.warm.bytes, b.warm.berths.Len())
		}
	})
}

func TestFrozenPodEndsWithTheServer(t *testing.T) {
	inTheCold(t, 1000, func(t *testing.T, b *bench, d *icy) {
		b.shelf.publish(store.Config{})
		b.target(t)
		elapse(301 * time.Second)
		began := time.Now()
		b.stop()
		b.stop = func() {}
		b.pods(t, "after the stop", 0)
		if took := time.Since(began); took > time.Second || d.frozen.Load() != 0 {
			t.Errorf("it took %v, %d are still frozen", took, d.frozen.Load())
		}
	})
}
