package engine

import (
	"context"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
)

// errStopping is why calls are refused and cut while the engine drains.
var errStopping error = stoppingError{}

type stoppingError struct{}

func (stoppingError) Error() string { return "the server is stopping" }

// Is makes it an ErrBusy: the call is not at fault and may be tried again.
func (stoppingError) Is(target error) bool { return target == pod.ErrBusy }

// Run works until ctx ends, then drains: takes no new work, lets running calls finish within the drain time, gives the
// rest of the work back to the queue, stops the pods, and returns nil once everything it started is gone. It may be called once.
//
// Do works until ctx ends. So to stop: StopTaking, drain the gateway, then end ctx. The driver is not closed here: it belongs
// to who made it.
func (e *Engine) Run(ctx context.Context) error {
	calls, cutCalls := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cutCalls(errStopping)
	pods, stopPods := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopPods(errStopping)

	var work, keepers sync.WaitGroup
	keepers.Go(func() { e.dispatch.run(pods) })
	work.Go(func() { e.answerCensus(ctx) })
	work.Go(func() { e.tearDown(ctx) })
	if e.config.TakeWork {
		work.Go(func() { e.takeWork(ctx, calls) })
	}

	gone := make(chan struct{})
	go func() {
		defer close(gone)
		work.Wait()
		keepers.Wait()
	}()

	<-ctx.Done()
	e.dispatch.drain()
	within(e.drainLeft(), gone)
	cutCalls(errStopping)
	work.Wait()
	stopPods(errStopping)
	<-gone
	return nil
}

// takeWork works until StopTaking or the end of ctx, and returns when the work that was taken has ended.
func (e *Engine) takeWork(ctx, calls context.Context) {
	taking, stop := context.WithCancel(ctx)
	defer stop()
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() {
		defer stop()
		select {
		case <-e.untaken:
		case <-ctx.Done():
		}
	})
	e.worker.run(taking, calls)
}

// within waits for done, but not longer than limit, and reports whether it is closed.
func within(limit time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
