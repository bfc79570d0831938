package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// maxAttempts is how often work is given to a worker in all, if workers die with it.
const maxAttempts = 5

// attempt is one try at an execution, by the worker that holds its record.
type attempt struct {
	*worker
	job *stream.Job
	// held is the record as this worker wrote it last: running, with this attempt's number.
	held store.Execution
	at   *progress
}

// handle brings a job to its end. ctx's end cuts the call; what is not finished then is given back.
func (w *worker) handle(ctx context.Context, job *stream.Job, at *progress) {
	if !w.hands.take(job) {
		return // it is delivered again while it still runs here; that run will acknowledge it
	}
	defer w.hands.drop(job)
	result := w.process(ctx, job, at)
	at.move(settling)

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), concludeLimit)
	defer cancel()
	if err := w.conclude(ctx, job, result); err != nil {
		w.log.WarnContext(ctx, "work will come again", slog.String("execution", job.Execution), slog.Any("error", err))
	}
}

// process takes the record, runs the call, and stores how it ended.
func (w *worker) process(ctx context.Context, job *stream.Job, at *progress) end {
	record, err := w.find(ctx, job)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return w.missing(ctx, job)
	case err != nil:
		w.log.WarnContext(ctx, "record cannot be read", slog.String("execution", job.Execution), slog.Any("error", err))
		return w.later(ctx)
	case record.Status.Terminal():
		return over(record)
	case w.isHeld(ctx, record):
		return givenBack(holderPatience)
	}
	a := &attempt{worker: w, job: job, at: at}
	died := record.Status == store.Running && record.Attempt >= maxAttempts
	if e, held := a.hold(ctx, record); !held {
		return e
	}
	if died {
		return a.settle(ctx, failed(codeInternal, fmt.Sprintf("its workers died %d times", maxAttempts)))
	}
	return a.run(ctx)
}

// run makes the call and stores its outcome, or hands the execution back.
func (a *attempt) run(ctx context.Context) end {
	o, err := a.call(ctx)
	a.at.move(settling)
	if err != nil {
		return a.handBack(ctx, err)
	}
	a.log.LogAttrs(ctx, slog.LevelDebug, "execution ended", slog.String("execution", a.held.ID), slog.String("app", a.held.App.String()),
		slog.Uint64("version", uint64(o.version)), slog.Uint64("attempt", uint64(a.held.Attempt)), slog.String("status", string(o.status)))
	return a.settle(ctx, o)
}
