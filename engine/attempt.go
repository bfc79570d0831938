package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// attempt is one try at an execution, by the worker that holds its record.
type attempt struct {
	*worker
	job *stream.Job
	// held is the record as this worker wrote it last: running, with this attempt's number.
	held store.Execution
	at   *progress
	// body is that of the request if it came from the store of large payloads.
	body []byte
	// kept says that a large result may be stored.
	kept bool
	// expires is when the attempt's output may go: what it belongs to is gone by then.
	expires time.Time
}

// handle brings a job to its end. The end of ctx cuts the call, and so does the loss of its record; what is not finished then is given back.
func (w *worker) handle(ctx context.Context, job *stream.Job, at *progress) {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	if !w.hands.take(job, cut) {
		return // it is delivered again while it still runs here; that run will acknowledge it
	}
	defer w.hands.drop(job)
	w.reached(JobTaken)
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
		if ctx.Err() == nil {
			w.log.WarnContext(ctx, "record cannot be read", slog.String("execution", job.Execution), slog.Any("error", err))
		}
		return w.later(ctx)
	case record.Status.Terminal():
		return over(record)
	case record.Status == store.Pending && record.DueAt.After(w.now()):
		return putOff(record.DueAt, clockSkew)
	case w.isHeld(ctx, record):
		return givenBack(holderPatience)
	}
	a := &attempt{worker: w, job: job, at: at}
	if e, held := a.hold(ctx, record); !held {
		return e
	}
	if o, hopeless := a.hopeless(record, a.now()); hopeless {
		return a.settle(ctx, o)
	}
	return a.run(ctx)
}

// hopeless answers the end of an execution that must not be tried once more, as it was before it was held: too many workers were
// lost with it, or it is too old for its submitter.
func (a *attempt) hopeless(before store.Execution, now time.Time) (outcome, bool) {
	switch {
	case before.Status == store.Running && int(a.held.PlatformFailures) >= a.maxPlatformFailures:
		return failed(store.Failed, codeWorkerLost, fmt.Sprintf("worker %s did not bring attempt %d to its end; given up (%s)",
			before.Worker, before.Attempt, platformSpent(a.held, a.maxPlatformFailures))), true
	case outlived(before, now):
		message := fmt.Sprintf("the max_age timeout of %v ran out before attempt %d began", before.Retry.MaxAge, a.held.Attempt)
		if before.Error != nil {
			message += "; the one before: " + before.Error.Message
		}
		return failed(store.Timeout, codeMaxAge, message), true
	}
	return outcome{}, false
}

// run makes the call and stores its outcome, or hands the execution back.
func (a *attempt) run(ctx context.Context) end {
	o, err := a.call(ctx)
	a.at.move(settling)
	switch {
	case errors.Is(err, errCut):
		return a.letGo(ctx)
	case err != nil:
		return a.handBack(ctx, err)
	case o.status == store.Completed:
		return a.settle(ctx, o)
	}
	return a.failedWith(ctx, o)
}

// failedWith lets an attempt that failed be followed by another, or makes its failure the end of the execution.
func (a *attempt) failedWith(ctx context.Context, o outcome) end {
	now := a.now()
	f := o.failure(a.held.Retry, now)
	o.account = f.account
	d := decide(a.held, f, a.maxPlatformFailures, now, rand.Float64())
	if !d.due.IsZero() {
		return a.postpone(ctx, o, d.due)
	}
	return a.settle(ctx, o.givenUp(a.held.Attempt, d.reason))
}
