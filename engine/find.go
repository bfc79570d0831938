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

// find answers the job's record, and waits a little for one that is still being written. One that was created here is not read when
// its work comes for the first time: who else may have taken it since shows when this worker tries to. Work that comes again was taken
// before, perhaps by a worker that is lost, and only the record as it is says so.
func (w *worker) find(ctx context.Context, job *stream.Job) (store.Execution, error) {
	if record, ok := w.store.TakeCreated(job.Owner, job.Execution); ok && job.Delivered == 1 {
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

// mostMissing is the longest pause between looks for a record that is missing.
const mostMissing = 32 * time.Second

// missing gives work without a record back until it is older than a submission may take, and then drops it: nobody was told of it. Its age is
// what counts, because JetStream forgets how often it gave it out when a worker ends.
func (w *worker) missing(ctx context.Context, job *stream.Job) end {
	if left := w.reapAfter - w.now().Sub(job.Stored); left > 0 {
		return givenBack(min(time.Second<<min(job.Delivered, 10), mostMissing, left))
	}
	w.log.WarnContext(ctx, "work without a record dropped", slog.String("execution", job.Execution))
	w.metrics.countReaped(workWithoutRecord)
	return over(store.Execution{})
}
