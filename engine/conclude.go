package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// end says what becomes of a job.
type end struct {
	verb  verb
	after time.Duration
	// unused names a large request body that nobody needs once the record is on disk.
	unused string
}

type verb int

const (
	// forget leaves the job to another worker that holds the record.
	forget verb = iota
	// acknowledge deletes the job: its record is terminal.
	acknowledge
	// giveBack returns the job to the queue.
	giveBack
)

func givenBack(after time.Duration) end { return end{verb: giveBack, after: after} }

// over is the end of a job whose record is terminal. What did not complete keeps its request as long as its record, for who
// looks into it.
func over(record store.Execution) end {
	e := end{verb: acknowledge}
	if record.Status == store.Completed {
		e.unused = record.RequestObject
	}
	return e
}

// conclude tells the queue. The record is on disk before the work is deleted, since the work is the only other copy of the request.
func (w *worker) conclude(ctx context.Context, job *stream.Job, e end) error {
	switch e.verb {
	case acknowledge:
		if err := w.store.Sync(ctx); err != nil {
			return fmt.Errorf("sync the outcome of %s: %w", job.Execution, err)
		}
		w.dropRequest(ctx, e.unused)
		return job.Ack(ctx)
	case giveBack:
		return job.Return(ctx, e.after)
	default:
		return nil
	}
}

// dropRequest deletes a large request body, or leaves it to the retention of payloads.
func (w *worker) dropRequest(ctx context.Context, name string) {
	if name == "" {
		return
	}
	if err := w.store.DeletePayload(ctx, name); err != nil {
		w.log.WarnContext(ctx, "a request's body is left behind", slog.Any("error", err))
	}
}
