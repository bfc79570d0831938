package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// draft is code that was never published.
var draft = store.Version{AppRef: testApp, ArtifactHash: "d4af7", Config: store.Config{Ports: []uint32{80, 9090}}}

func TestTrialHasAPodOfItsOwn(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		served := b.target(t)
		var spec pod.Spec
		logs, err := b.trial(t.Context(), draft, func(target pod.Target) error {
			if target.Pod == served.Pod || !target.Cold || target.Version != 0 || target.AddrOf(9090) == nil {
				t.Errorf("it ran in %+v", target)
			}
			for _, running := range b.driver.Running() {
				if running.Name() == target.Pod {
					spec = running.Spec()
					running.Logf("tried")
				}
			}
			return nil
		})
		if err != nil || !slices.Equal(logs, []string{"tried"}) {
			t.Errorf("logs %q, error %v", logs, err)
		}
		if spec.App != testApp.Name || spec.MemoryMB != 512 {
			t.Errorf("it was started with %+v", spec)
		}
		b.pods(t, "after the trial", 1)
		if c := b.census(t.Context(), testApp); c.Ready != 1 {
			t.Errorf("census counts the trial: %+v", c)
		}
	})
}

func TestTrialTellsWhyItDidNotStart(t *testing.T) {
	inBubble(t, Config{ColdStartBudget: time.Minute}, func(t *testing.T, b *bench) {
		never := func(pod.Target) error {
			t.Error("it ran")
			return nil
		}
		b.starting = func(context.Context, pod.Spec) error {
			return &pod.StartError{Pod: "p", Reason: "exit status 1", Log: []string{"no such module"}}
		}
		logs, err := b.trial(t.Context(), draft, never)
		if _, ok := errors.AsType[*pod.StartError](err); !ok || !slices.Equal(logs, []string{"no such module"}) {
			t.Errorf("logs %q, error %v", logs, err)
		}
		b.starting = func(ctx context.Context, _ pod.Spec) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		_, err = b.trial(t.Context(), draft, never)
		if timeout, ok := errors.AsType[*pod.TimeoutError](err); !ok || timeout.Clock != pod.ClockColdStart {
			t.Errorf("a start that takes longer than its budget: %v", err)
		}
	})
}

func TestTrialTellsHowItsPodEnded(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		_, err := b.trial(t.Context(), draft, func(target pod.Target) error {
			b.driver.Running()[0].Crash("exit status 2")
			<-target.OutOfService
			return pod.ErrBroken
		})
		if ended, ok := errors.AsType[*pod.ExitError](err); !ok || ended.Reason != "exit status 2" || !errors.Is(err, pod.ErrBroken) {
			t.Errorf("trial: %v", err)
		}
	})
}

func TestAFewTrialsAtATime(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		release := make(chan struct{})
		ended := make(chan error, maxTrials)
		for range maxTrials {
			go func() {
				_, err := b.trial(t.Context(), draft, func(pod.Target) error {
					<-release
					return nil
				})
				ended <- err
			}()
		}
		synctest.Wait()
		if _, err := b.trial(t.Context(), draft, func(pod.Target) error { return nil }); !errors.Is(err, pod.ErrBusy) {
			t.Errorf("one more trial: %v, want ErrBusy", err)
		}
		close(release)
		for range maxTrials {
			if err := <-ended; err != nil {
				t.Errorf("trial: %v", err)
			}
		}
		if _, err := b.trial(t.Context(), draft, func(pod.Target) error { return nil }); err != nil {
			t.Errorf("trial after the others: %v", err)
		}
	})
}

func TestTrialsEndWithTheEngine(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		ended := make(chan error, 2)
		try := func(fn func(pod.Target) error) {
			go func() {
				_, err := b.trial(t.Context(), draft, fn)
				ended <- err
			}()
			synctest.Wait()
		}
		try(func(target pod.Target) error {
			<-target.OutOfService
			return nil
		})
		b.starting = func(ctx context.Context, _ pod.Spec) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		try(func(pod.Target) error { return nil })
		b.stop()
		b.stop = func() {}
		var failed []error
		for range 2 {
			if err := <-ended; err != nil {
				failed = append(failed, err)
			}
		}
		if len(failed) != 1 || !errors.Is(failed[0], pod.ErrBusy) {
			t.Errorf("trials failed with %v, want the one that had not started, with ErrBusy", failed)
		}
		b.pods(t, "in the end", 0)
		if _, err := b.trial(t.Context(), draft, func(pod.Target) error { return nil }); !errors.Is(err, pod.ErrBusy) {
			t.Errorf("trial after the end: %v, want ErrBusy", err)
		}
	})
}
