package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// end says what becomes of a job.
type end struct {
	verb verb
	// after is the pause before work that is given back comes again.
	after time.Duration
	// due is when work that is put off comes again; shorter pauses than nap it spends in the queue.
	due time.Time
	nap time.Duration
	// record is the terminal one of work that is acknowledged. Work without a record has none.
	record store.Execution
	// body is the large one of its request, if it is at hand.
	body []byte
}

type verb int

const (
	// forget leaves the job to another worker that holds the record.
	forget verb = iota
	// acknowledge deletes the job: its record is terminal.
	acknowledge
	// giveBack returns the job to the queue.
	giveBack
	// putAway stores the work for later: its record says until when.
	putAway
)

func givenBack(after time.Duration) end { return end{verb: giveBack, after: after} }

func putOff(due time.Time, nap time.Duration) end { return end{verb: putAway, due: due, nap: nap} }

// over is the end of a job whose record is terminal.
func over(record store.Execution) end { return end{verb: acknowledge, record: record} }

// conclude tells the queue.
func (w *worker) conclude(ctx context.Context, job *stream.Job, e end) error {
	switch e.verb {
	case acknowledge:
		return w.dismiss(ctx, job, e)
	case giveBack:
		return w.returnJob(ctx, job, e.after)
	case putAway:
		return w.putAway(ctx, job, e)
	default:
		return nil
	}
}

// returnJob gives a job back. It is out of hand before: the queue may give it to this worker again before that is confirmed here, and what is in
// hand would be left alone then, until the queue's patience ends.
func (w *worker) returnJob(ctx context.Context, job *stream.Job, after time.Duration) error {
	w.hands.drop(job)
	return job.Return(ctx, after)
}

// dismiss lets the work of a terminal record go, after what follows from the record is stored and all of it is on disk: the work is the only other
// copy of the request. It does the same for work that is delivered once more.
func (w *worker) dismiss(ctx context.Context, job *stream.Job, e end) error {
	if keepsRequest(e.record.Status) {
		if err := w.keepDeadLetter(ctx, job, e); err != nil {
			return err
		}
		w.reached(DeadLetterKept)
	}
	if err := w.sync(ctx, job); err != nil {
		return err
	}
	w.reached(OutcomeSynced)
	if e.record.RequestObject != "" && !keepsRequest(e.record.Status) {
		w.dropRequest(ctx, job, e.record.RequestObject)
		w.reached(RequestDropped)
	}
	if err := w.acknowledge(ctx, job); err != nil || e.record.ID != "" {
		return err
	}
	return w.putBack(ctx, job)
}

// putBack stores work again that was dropped for want of a record, if it has one by now: whoever repeats a submission by its key may have taken
// the work that was there for its own.
func (w *worker) putBack(ctx context.Context, job *stream.Job) error {
	record, err := w.store.Execution(ctx, job.Owner, job.Execution)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && record.Status.Terminal():
		return nil
	case err != nil:
		return fmt.Errorf("look for a record after its work was dropped: %w", err)
	}
	return w.stream.Enqueue(ctx, job.Work)
}

func (w *worker) sync(ctx context.Context, job *stream.Job) error {
	if err := w.store.Sync(ctx); err != nil {
		return fmt.Errorf("sync the outcome of %s: %w", job.Execution, err)
	}
	return nil
}

// acknowledge deletes the work when it is its app's turn.
func (w *worker) acknowledge(ctx context.Context, job *stream.Job) (err error) {
	if cause := w.gate.pass(ctx, job.App, func() { err = job.Ack(ctx) }); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	w.reached(JobAcknowledged)
	return nil
}
