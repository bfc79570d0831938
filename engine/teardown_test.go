package engine

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// unpacked is a Provisioner that knows when each artifact was put in place, and whether it still is.
type unpacked struct {
	mu   sync.Mutex
	used map[string]time.Time
}

func (d *unpacked) Provision(_ context.Context, v store.Version, _ func() (io.ReadCloser, error)) (Launch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used[v.ArtifactHash] = time.Now()
	return Launch{Command: []string{"serve"}}, nil
}

func (d *unpacked) RemoveIdle(_ context.Context, before time.Time, keep func(string) bool) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := len(d.used)
	maps.DeleteFunc(d.used, func(hash string, at time.Time) bool {
		if keep(hash) {
			d.used[hash] = time.Now()
			return false
		}
		return at.Before(before)
	})
	return left - len(d.used), nil
}

func (d *unpacked) has(t *testing.T, when string, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := slices.Sorted(maps.Keys(d.used)); !slices.Equal(got, want) {
		t.Errorf("%s: %q in place, want %q", when, got, want)
	}
}

// tornDown runs test with an engine's teardown beside the dispatcher.
func tornDown(t *testing.T, config Config, test func(t *testing.T, b *bench, d *unpacked)) {
	inBubble(t, config, func(t *testing.T, b *bench) {
		synctest.Wait() // the dispatcher has read its provisioner by now, and does so again when an app is called
		d := &unpacked{used: make(map[string]time.Time)}
		b.provisioner = d
		config := config.withDefaults()
		config.Provisioner = d
		e := &Engine{config: config, dispatch: b.dispatcher}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go e.tearDown(ctx)
		test(t, b, d)
	})
}

func TestCodeOfAnIdleAppLeavesTheDiskAndComesBack(t *testing.T) {
	tornDown(t, Config{}, func(t *testing.T, b *bench, d *unpacked) {
		b.shelf.publishCode("one", store.Config{})
		b.target(t)
		elapse(22 * time.Hour)
		d.has(t, "within a day", "one")
		elapse(4 * time.Hour)
		d.has(t, "after a day")
		if target := b.target(t); !target.Cold {
			t.Errorf("call went to %+v", target)
		}
		d.has(t, "after the next call", "one")
	})
}

func TestCodeThatRunsStays(t *testing.T) {
	tornDown(t, Config{IdleTeardown: time.Hour}, func(t *testing.T, b *bench, d *unpacked) {
		b.shelf.publishCode("one", store.Config{})
		release := make(chan struct{})
		call := b.hold(t.Context(), release)
		elapse(10 * time.Hour)
		d.has(t, "while it runs", "one")
		close(release)
		if err := <-call; err != nil {
			t.Errorf("call: %v", err)
		}
		elapse(time.Hour)
		d.has(t, "an hour after the call, when its pod was gone for less", "one")
		elapse(10 * time.Minute)
		d.has(t, "an hour after its pod")
	})
}

func TestCodeThatStartsStays(t *testing.T) {
	tornDown(t, Config{IdleTeardown: time.Minute, ColdStartBudget: 20 * time.Minute}, func(t *testing.T, b *bench, d *unpacked) {
		b.shelf.publishCode("one", store.Config{})
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, 10*time.Minute) }
		go func() { _ = b.call(t.Context()) }()
		elapse(9 * time.Minute)
		d.has(t, "while it starts", "one")
		elapse(2 * time.Minute)
		if _, err := b.trial(t.Context(), draft, func(pod.Target) error {
			elapse(3 * time.Minute)
			d.has(t, "during a trial, when the app is idle", draft.ArtifactHash)
			return nil
		}); err != nil {
			t.Errorf("trial: %v", err)
		}
	})
}

func TestCodeOfAnAppWithReservedCapacityStays(t *testing.T) {
	tornDown(t, Config{}, func(t *testing.T, b *bench, d *unpacked) {
		d.used["one"], d.used["of nobody"] = time.Now(), time.Now()
		b.starting = func(context.Context, pod.Spec) error { return errors.New("exit status 1") }
		b.shelf.publishCode("one", scaling(store.Scaling{ReservedCapacity: 1}))
		elapse(72 * time.Hour)
		d.has(t, "though no pod of it comes up", "one")
	})
}
