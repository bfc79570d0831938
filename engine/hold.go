package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// hold makes this worker the one that decides: by compare-and-set it begins the next attempt. If it cannot, the end of the job. A record that
// is RUNNING is taken from a worker that is lost, and that is a failure of the platform.
func (a *attempt) hold(ctx context.Context, record store.Execution) (end, bool) {
	next := record
	if record.Status == store.Running {
		ofPlatform.charge(&next)
	}
	next.Status = store.Running
	next.Attempt++
	next.Worker = a.name
	next.StartedAt = time.Now()
	next.DueAt = time.Time{}
	next.Error = nil
	a.describe(ctx, &next)
	held, err := a.update(ctx, next)
	switch {
	case err == nil:
		a.dropResults(ctx, record)
		return a.holds(held)
	case lost(err):
		return a.overtaken(ctx, next)
	default:
		if ctx.Err() == nil {
			a.log.WarnContext(ctx, "record cannot be taken", slog.String("execution", next.ID), slog.Any("error", err))
		}
		return a.later(ctx), false
	}
}

// holds notes the record that this worker wrote.
func (a *attempt) holds(held store.Execution) (end, bool) {
	if a.held.ID == "" {
		a.reached(RecordTaken)
	}
	a.held = held
	a.hands.hold(held.ID, held.Revision)
	return end{}, true
}

// update writes a record when it is its app's turn, in bounded time then.
func (w *worker) update(ctx context.Context, next store.Execution) (updated store.Execution, err error) {
	app := stream.App{Org: next.App.Org, Name: next.App.Name}
	cause := w.gate.pass(ctx, app, func() {
		writing, done := context.WithTimeout(ctx, writeLimit)
		defer done()
		updated, err = w.store.UpdateExecution(writing, next)
	})
	if cause != nil {
		return store.Execution{}, cause
	}
	return updated, err
}

// describe writes down the version that is to run. An app that has none is told later, from the call.
func (a *attempt) describe(ctx context.Context, next *store.Execution) {
	app, err := a.dispatch.app(ctx, next.App)
	if err != nil {
		return
	}
	v, err := a.dispatch.apps.Version(ctx, next.App, app.ActiveVersion)
	if err != nil {
		return
	}
	next.Version = v.Number
	next.Tier = tierOf(v.Config)
}

// lost reports the errors that mean that somebody else wrote the record.
func lost(err error) bool {
	return errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrTransition) || errors.Is(err, store.ErrNotFound)
}

// overtaken looks who wrote the record in place of this worker. Its own write counts, if only the answer to it was lost.
func (a *attempt) overtaken(ctx context.Context, tried store.Execution) (end, bool) {
	now, err := a.store.Execution(ctx, tried.Org, tried.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return over(store.Execution{}), false
	case err != nil:
		return a.later(ctx), false
	case now.Status.Terminal():
		return over(now), false
	case now.Status == store.Pending:
		return givenBack(0), false
	case now.Worker == tried.Worker && now.Attempt == tried.Attempt:
		return a.holds(now)
	default:
		return end{verb: forget}, false
	}
}
