package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// maxTrials bounds the pods of trials that there are at a time: nothing else bounds what developers try.
const maxTrials = 4

// trials are the pods that run outside of any pool.
type trials struct {
	// places holds one for each that runs, and running is who Run waits for.
	places  chan struct{}
	running sync.WaitGroup
	// cut is closed when those that still run must end.
	cut chan struct{}
}

func newTrials() trials {
	return trials{places: make(chan struct{}, maxTrials), cut: make(chan struct{})}
}

// beginTrial answers pod.ErrBusy if there are too many, or the engine drains.
func (d *dispatcher) beginTrial() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errStopping
	}
	select {
	case d.trials.places <- struct{}{}:
		d.trials.running.Add(1)
		return nil
	default:
		return pod.ErrBusy
	}
}

func (d *dispatcher) endTrial() {
	<-d.trials.places
	d.trials.running.Done()
}

// trial runs fn with a pod of v of its own, which is stopped afterwards.
func (d *dispatcher) trial(ctx context.Context, v store.Version, fn func(pod.Target) error) (logs []string, err error) {
	if err := d.beginTrial(); err != nil {
		return nil, err
	}
	defer d.endTrial()
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching.Go(func() {
		select {
		case <-d.trials.cut:
			cancel(errStopping)
		case <-ctx.Done():
		}
	})

	defer d.uses.begin(v.ArtifactHash)()
	began := time.Now()
	started, err := d.startPod(ctx, v)
	if err != nil {
		return startLogs(err), err
	}
	g := grant{on: newInstance(started, v.Number), waited: time.Since(began), cold: true}
	watching.Go(func() {
		select {
		case <-started.Done():
		case <-ctx.Done():
		}
		close(g.on.outOfService)
	})
	err = explainDirect(g, fn(g.target()))
	d.stop(ctx, started, slog.String("app", v.String()), slog.String("pod", started.Name()))
	return started.Logs(), err
}

// startLogs are the last lines of a pod that did not start.
func startLogs(err error) []string {
	if failure, ok := errors.AsType[*pod.StartError](err); ok {
		return failure.Log
	}
	return nil
}

// endTrials returns when there are none any more; ctx's end cuts those that run. No new one may begin.
func (d *dispatcher) endTrials(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { close(d.trials.cut) })
	defer stop()
	d.trials.running.Wait()
}
