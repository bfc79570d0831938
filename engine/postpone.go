package engine

import (
	"context"
	"log/slog"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

const (
	// nap is the longest pause that work spends in the queue; it is stored for later, for a longer one.
	nap = time.Second
	// clockSkew is nap's part for work that came before its time: the clock of whoever let it come may be ahead of this one, and would
	// do so again at once.
	clockSkew = 5 * time.Second
	// roomAgain is the longest pause of work that there was no room for elsewhere. It takes a place in the queue, of which an app has so many,
	// and has the record read each time.
	roomAgain = time.Minute
)

// postpone notes the failure in the record and lets the execution wait for its next attempt. Nothing here remembers it: the record has
// the time, and the work comes again.
func (a *attempt) postpone(ctx context.Context, o outcome, due time.Time) end {
	e, stored := a.insist(ctx, func(error, time.Duration) (store.Execution, error) {
		return a.updateUncut(ctx, o.waiting(a.held, due))
	})
	if !stored {
		return e
	}
	a.reached(RecordPostponed)
	a.log.DebugContext(ctx, "execution waits for its next attempt", slog.String("execution", a.held.ID), slog.String("app", a.held.App.String()),
		slog.Uint64("attempt", uint64(a.held.Attempt)), slog.String("code", o.fault.Code), slog.Time("due", due))
	return putOff(due, a.longestNap(ctx))
}

// longestNap is nap, but for an app with a limit of calls in flight: what waits in the queue counts in it, and what is stored for later does not.
func (a *attempt) longestNap(ctx context.Context) time.Duration {
	app, err := a.dispatch.apps.App(ctx, a.held.App)
	if err == nil && app.MaxAsyncInFlight > 0 {
		return 0
	}
	return nap
}

// putAway stores work until it is due, by now known to its record. A short time it spends in the queue, which forgets the delay when its server
// restarts: then it comes too early, and is put away again. So it does when there is no room for what comes later, until there is.
func (w *worker) putAway(ctx context.Context, job *stream.Job, e end) error {
	pause := e.due.Sub(w.now())
	if pause < e.nap {
		return w.returnJob(ctx, job, max(pause, 0))
	}
	if err := w.stream.EnqueueLater(ctx, job.Work, e.due, true); err != nil {
		w.log.WarnContext(ctx, "work waits in the queue, since it cannot be stored for later", slog.String("execution", job.Execution), slog.Any("error", err))
		return w.returnJob(ctx, job, min(max(e.due.Sub(w.now()), 0), w.roomAgain))
	}
	w.reached(WorkPostponed)
	if err := w.sync(ctx, job); err != nil {
		return err
	}
	return w.acknowledge(ctx, job)
}
