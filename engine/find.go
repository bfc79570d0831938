package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

const (
	// leastFind and mostFind are the pauses between looks for a record whose work came first: the two are written side by side.
	leastFind = 250 * time.Microsecond
	mostFind  = 50 * time.Millisecond
	findLimit = 200 * time.Millisecond
)

// find answers the job's record, and waits a little for one that is still being written. One that was created here a moment ago
// is not read: who else may have taken it since shows when this worker tries to.
func (w *worker) find(ctx context.Context, job *stream.Job) (store.Execution, error) {
	if record, ok := w.store.TakeCreated(job.Owner, job.Execution); ok {
		return record, nil
	}
	began := time.Now()
	pauses := backoff{least: leastFind, most: mostFind}
	for {
		record, err := w.store.Execution(ctx, job.Owner, job.Execution)
		if !errors.Is(err, store.ErrNotFound) || time.Since(began) > findLimit {
			return record, err
		}
		if err := pauses.wait(ctx); err != nil {
			return store.Execution{}, err
		}
	}
}

// missing gives work without a record back for about a minute in all, longer than a gateway may take to write one, and
// then drops it: its submission was never accepted.
func (w *worker) missing(ctx context.Context, job *stream.Job) end {
	const times = 6
	if job.Delivered < times {
		return givenBack(time.Second << min(job.Delivered, times))
	}
	w.log.WarnContext(ctx, "work without a record dropped", slog.String("execution", job.Execution))
	w.metrics.countReaped(workWithoutRecord)
	return over(store.Execution{})
}
