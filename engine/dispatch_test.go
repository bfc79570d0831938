package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/store"
)

// bench is a dispatcher in a bubble, with a published app.
type bench struct {
	*dispatcher
	shelf  *shelf
	driver *podtest.Memory
	// starting is called by every start, with the pod's spec.
	starting func(ctx context.Context, spec pod.Spec) error
	stop     func()
}

// inBubble runs test with a dispatcher that is stopped afterwards; the bubble fails if a goroutine is left.
func inBubble(t *testing.T, config Config, test func(t *testing.T, b *bench)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{shelf: newShelf(), starting: func(context.Context, pod.Spec) error { return nil }}
		b.driver = podtest.NewPipe(func(ctx context.Context, spec pod.Spec) (http.Handler, error) {
			return http.NotFoundHandler(), b.starting(ctx, spec)
		})
		config.Driver, config.Provisioner, config.Reserved = b.driver, inPlace{}, b.shelf.reserved
		config.Logger = cmp.Or(config.Logger, slog.New(slog.NewTextHandler(t.Output(), nil)))
		b.dispatcher = newDispatcher(config.withDefaults(), b.shelf)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.run(ctx)
		}()
		b.stop = func() {
			b.drain()
			cancel()
			<-ended
		}
		defer func() { b.stop() }()
		test(t, b)
	})
}

// hold makes a call that keeps its slot until release is closed; the answer comes when the call ends.
func (b *bench) hold(ctx context.Context, release <-chan struct{}) <-chan error {
	answer := make(chan error, 1)
	go func() {
		answer <- b.do(ctx, testApp, direct, func(grant) error {
			<-release
			return nil
		})
	}()
	return answer
}

// call makes a call that ends at once.
func (b *bench) call(ctx context.Context) error {
	return b.do(ctx, testApp, direct, func(grant) error { return nil })
}

// onePod configures an app that has one pod at most.
func onePod(slots uint32) store.Config {
	return store.Config{MaxConcurrency: slots, Scaling: store.Scaling{MaxReplicas: 1}}
}

// elapse lets time pass in a bubble, and everything happen that it brings.
func elapse(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // free in a bubble
	synctest.Wait()
}

// target makes a call and answers where it went.
func (b *bench) target(t *testing.T) (target pod.Target) {
	t.Helper()
	err := b.do(t.Context(), testApp, direct, func(g grant) error {
		target = g.target()
		return nil
	})
	if err != nil {
		t.Fatalf("call: %v", err)
	}
	return target
}

func TestCallsOfAColdAppShareOneStart(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{MaxConcurrency: 100})
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, 9*time.Minute) }
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				target := b.target(t)
				if !target.Cold || target.Waited < 9*time.Minute {
					t.Errorf("call waited %v, cold %v", target.Waited, target.Cold)
				}
			})
		}
		calls.Wait()
		if got := b.driver.Started(); got != 1 {
			t.Errorf("%d starts, want 1", got)
		}
		if target := b.target(t); target.Cold || target.Waited != 0 {
			t.Errorf("warm call: waited %v, cold %v", target.Waited, target.Cold)
		}
	})
}

func TestSlotsAreGivenInTheOrderOfTheLine(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(onePod(2))
		var running, most atomic.Int32
		var order []int
		var mu sync.Mutex
		var calls sync.WaitGroup
		for n := range 10 {
			calls.Go(func() {
				err := b.do(t.Context(), testApp, direct, func(grant) error {
					most.Store(max(most.Load(), running.Add(1)))
					defer running.Add(-1)
					mu.Lock()
					order = append(order, n)
					mu.Unlock()
					return sleep(t.Context(), time.Duration(n+1)*time.Second)
				})
				if err != nil {
					t.Errorf("call %d: %v", n, err)
				}
			})
			synctest.Wait()
		}
		calls.Wait()
		if most.Load() != 2 {
			t.Errorf("%d calls at once, want 2", most.Load())
		}
		for n, got := range order {
			if got != n {
				t.Fatalf("order %v", order)
			}
		}
	})
}

func TestCallerThatLeavesFreesItsPlace(t *testing.T) {
	inBubble(t, Config{MaxHeld: 1}, func(t *testing.T, b *bench) {
		b.shelf.publish(onePod(1))
		release := make(chan struct{})
		first := b.hold(t.Context(), release)
		synctest.Wait()

		ctx, leave := context.WithCancelCause(t.Context())
		second := b.hold(ctx, release)
		synctest.Wait()
		if err := b.call(t.Context()); !errors.Is(err, pod.ErrBusy) {
			t.Errorf("call over the bound: %v, want ErrBusy", err)
		}
		gone := errors.New("caller is gone")
		leave(gone)
		if err := <-second; !errors.Is(err, gone) {
			t.Errorf("call that left: %v, want %v", err, gone)
		}
		third := b.hold(t.Context(), release)
		synctest.Wait()
		close(release)
		if err := errors.Join(<-first, <-third); err != nil {
			t.Error(err)
		}
	})
}

func TestColdStartBudgetEndsTheWait(t *testing.T) {
	inBubble(t, Config{ColdStartBudget: time.Minute}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		b.starting = func(ctx context.Context, _ pod.Spec) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		began := time.Now()
		err := b.call(t.Context())
		timeout, ok := errors.AsType[*pod.TimeoutError](err)
		if !ok || timeout.Clock != pod.ClockColdStart || timeout.Limit != time.Minute {
			t.Errorf("call: %v, want the cold start's timeout", err)
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("waited %v, want a minute", waited)
		}
	})
}

func TestFailedStartIsSharedAndHeld(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		b.starting = func(ctx context.Context, _ pod.Spec) error {
			_ = sleep(ctx, time.Second)
			return &pod.StartError{Pod: "p", Reason: "exit status 1", Log: []string{"no such module"}}
		}
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() {
				if _, ok := errors.AsType[*pod.StartError](b.call(t.Context())); !ok {
					t.Error("a call that waited did not get the failure")
				}
			})
		}
		calls.Wait()
		began := time.Now()
		if _, ok := errors.AsType[*pod.StartError](b.call(t.Context())); !ok || time.Since(began) != 0 {
			t.Errorf("a call after the failure did not get it at once, but after %v", time.Since(began))
		}
		if got := b.driver.Started(); got != 1 {
			t.Errorf("%d starts, want 1", got)
		}
		if c := b.census(t.Context(), testApp); c.LastError == "" {
			t.Error("census does not tell the failure")
		}

		elapse(leastHold)
		b.starting = func(context.Context, pod.Spec) error { return nil }
		if err := b.call(t.Context()); err != nil {
			t.Errorf("call after the hold: %v", err)
		}
		if c := b.census(t.Context(), testApp); c.Ready != 1 || c.Starting != 0 || c.InFlight != 0 || c.LastError != "" {
			t.Errorf("census after a good start: %+v", c)
		}
	})
}

func TestPublishEndsTheHoldOfAnotherVersion(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		b.starting = func(_ context.Context, spec pod.Spec) error {
			if spec.Version == 1 {
				return errors.New("broken version")
			}
			return nil
		}
		if err := b.call(t.Context()); err == nil {
			t.Fatal("the broken version came up")
		}
		b.shelf.publish(store.Config{})
		if target := b.target(t); target.Version != 2 {
			t.Errorf("version %d served, want 2", target.Version)
		}
	})
}

func TestAppsThatCannotServe(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		if err := b.call(t.Context()); !errors.Is(err, pod.ErrAppGone) || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("call of an unknown app: %v, want ErrAppGone and ErrNotFound", err)
		}
		b.shelf.change(func(*store.App) {})
		if err := b.call(t.Context()); !errors.Is(err, pod.ErrNotPublished) {
			t.Errorf("call of an app without a version: %v, want ErrNotPublished", err)
		}
	})
}

func TestUnreachablePodIsReplaced(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		var pods []string
		err := b.do(t.Context(), testApp, direct, func(g grant) error {
			pods = append(pods, g.target().Pod)
			if len(pods) == 1 {
				return fmt.Errorf("dial: %w", pod.ErrUnreachable)
			}
			return nil
		})
		if err != nil || len(pods) != 2 || pods[0] == pods[1] {
			t.Errorf("pods %v, error %v", pods, err)
		}
		synctest.Wait()
		if got := len(b.driver.Running()); got != 1 {
			t.Errorf("%d pods run, want 1", got)
		}
	})
}

func TestUnreachablePodsEndWithTheBudget(t *testing.T) {
	inBubble(t, Config{ColdStartBudget: time.Minute}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		err := b.do(t.Context(), testApp, direct, func(grant) error { return pod.ErrUnreachable })
		if _, ok := errors.AsType[*pod.TimeoutError](err); !ok {
			t.Errorf("call: %v, want a timeout", err)
		}
		if got := b.driver.Started(); got < 3 || got > 60 {
			t.Errorf("%d starts in a minute", got)
		}
	})
}

// The log tells a pod that was stopped from one that ended by itself, and why that did.
func TestLogSaysHowAPodEnded(t *testing.T) {
	var log strings.Builder
	inBubble(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		first := b.target(t)
		b.driver.Running()[0].Crash("exit status 2")
		synctest.Wait()
		second := b.target(t)
		b.stop()
		b.stop = func() {}
		for _, want := range []string{
			`level=WARN msg="pod ended by itself" app=acme/hello version=1 pod=` + first.Pod + ` lived=0s error="`,
			"exit status 2",
			`level=INFO msg="pod stopped" app=acme/hello version=1 pod=` + second.Pod,
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, log.String())
			}
		}
	})
}

func TestCrashedPodIsReplacedForTheNextCall(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		first := b.target(t)
		b.driver.Running()[0].Crash("exit status 2")
		synctest.Wait()
		if !isClosed(first.OutOfService) {
			t.Error("a crashed pod is in service")
		}
		if c := b.census(t.Context(), testApp); c.Ready != 0 || c.LastError == "" {
			t.Errorf("census after a crash: %+v", c)
		}
		if second := b.target(t); second.Pod == first.Pod || !second.Cold {
			t.Errorf("call after the crash went to %+v", second)
		}
	})
}

func TestDeletedAppStopsPodsAndCalls(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(onePod(1))
		var inPod <-chan struct{}
		running := make(chan error, 1)
		go func() {
			running <- b.do(t.Context(), testApp, direct, func(g grant) error {
				inPod = g.target().OutOfService
				<-inPod
				return nil
			})
		}()
		synctest.Wait()
		waiting := b.hold(t.Context(), nil)
		synctest.Wait()
		b.shelf.remove()
		if err := <-waiting; !errors.Is(err, pod.ErrAppGone) {
			t.Errorf("call that waited: %v, want ErrAppGone", err)
		}
		if err := <-running; err != nil {
			t.Errorf("call that ran: %v", err)
		}
		synctest.Wait()
		if got := len(b.driver.Running()); got != 0 {
			t.Errorf("%d pods run of a deleted app", got)
		}
		b.shelf.publish(store.Config{})
		if target := b.target(t); !target.Cold {
			t.Error("the app of the same name was served by the old one's pod")
		}
	})
}

func TestCancellationStormLeaksNoSlot(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(onePod(3))
		var calls sync.WaitGroup
		for range 2000 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(20*time.Millisecond))
				defer cancel()
				_ = b.do(ctx, testApp, direct, func(grant) error { return sleep(ctx, rand.N(5*time.Millisecond)) })
			})
		}
		calls.Wait()
		release := make(chan struct{})
		var held []<-chan error
		for range 3 {
			held = append(held, b.hold(t.Context(), release))
		}
		synctest.Wait()
		if c := b.census(t.Context(), testApp); c.InFlight != 3 {
			t.Errorf("%d calls in flight, want all 3 slots used", c.InFlight)
		}
		close(release)
		for _, call := range held {
			if err := <-call; err != nil {
				t.Errorf("call that held a slot: %v", err)
			}
		}
		if c := b.census(t.Context(), testApp); c.InFlight != 0 {
			t.Errorf("%d calls in flight, want none", c.InFlight)
		}
	})
}

func TestDrainRefusesWhoWaitsAndLetsCallsEnd(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(onePod(1))
		release := make(chan struct{})
		running := b.hold(t.Context(), release)
		synctest.Wait()
		waiting := b.hold(t.Context(), release)
		synctest.Wait()
		b.drain()
		if err := <-waiting; !errors.Is(err, pod.ErrBusy) {
			t.Errorf("call that waited: %v, want ErrBusy", err)
		}
		if err := b.call(t.Context()); !errors.Is(err, pod.ErrBusy) {
			t.Errorf("call that came: %v, want ErrBusy", err)
		}
		synctest.Wait()
		if got := len(b.driver.Running()); got != 1 {
			t.Errorf("%d pods run while a call does, want 1", got)
		}
		close(release)
		if err := <-running; err != nil {
			t.Errorf("call that ran: %v", err)
		}
		synctest.Wait()
		if got := len(b.driver.Running()); got != 0 {
			t.Errorf("%d pods run after the last call", got)
		}
	})
}
