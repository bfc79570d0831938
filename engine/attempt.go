package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

const (
	// maxAttempts is how often work is given to a worker in all, if workers die with it.
	maxAttempts = 5
	// soon is the pause before work is delivered again that could not be begun for a reason outside of it.
	soon = time.Second
)

// attempt is one try at an execution, by the worker that holds its record.
type attempt struct {
	*worker
	job *stream.Job
	// held is the record as this worker wrote it last: running, with this attempt's number.
	held store.Execution
	at   *progress
}

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

const (
	// leastFind and mostFind are the pauses between looks for a record whose work came first: the two are written side by side.
	leastFind = 250 * time.Microsecond
	mostFind  = 50 * time.Millisecond
	findLimit = 200 * time.Millisecond
)

// later gives a job back: for another worker at once if this one stops, else after a pause.
func (w *worker) later(ctx context.Context) end {
	if ctx.Err() != nil || w.dispatch.isDraining() {
		return givenBack(0)
	}
	return givenBack(soon)
}

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
	return end{verb: acknowledge}
}

// hold makes this worker the one that decides: by compare-and-set it begins the next attempt. If it cannot, the end of the job.
func (a *attempt) hold(ctx context.Context, record store.Execution) (end, bool) {
	next := record
	next.Status = store.Running
	next.Attempt++
	next.Worker = a.name
	next.StartedAt = time.Now()
	a.describe(ctx, &next)
	held, err := a.update(ctx, next)
	switch {
	case err == nil:
		a.held = held
		return end{}, true
	case lost(err):
		return a.overtaken(ctx, next)
	default:
		a.log.WarnContext(ctx, "record cannot be taken", slog.String("execution", next.ID), slog.Any("error", err))
		return a.later(ctx), false
	}
}

// update writes a record when it is its turn.
func (w *worker) update(ctx context.Context, next store.Execution) (updated store.Execution, err error) {
	if cause := w.gate.pass(ctx, func() { updated, err = w.store.UpdateExecution(ctx, next) }); cause != nil {
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
		return end{verb: acknowledge}, false
	case err != nil:
		return a.later(ctx), false
	case now.Status.Terminal():
		return over(now), false
	case now.Status == store.Pending:
		return givenBack(0), false
	case now.Worker == tried.Worker && now.Attempt == tried.Attempt:
		a.held = now
		return end{}, true
	default:
		return end{verb: forget}, false
	}
}

// handBack makes the execution wait again, since it did not fail: the server stops, or it is not its turn. If the record
// cannot be written the next worker takes it over as it is.
func (a *attempt) handBack(ctx context.Context, reason error) end {
	a.log.InfoContext(ctx, "execution handed back", slog.String("execution", a.held.ID),
		slog.Uint64("attempt", uint64(a.held.Attempt)), slog.Any("reason", reason))
	next := a.held
	next.Status = store.Pending
	next.Worker = ""
	next.StartedAt = time.Time{}
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	_, err := a.store.UpdateExecution(write, next)
	if lost(err) {
		e, _ := a.overtaken(write, a.held)
		return e
	}
	if errors.Is(reason, errEvicted) {
		return givenBack(0)
	}
	return a.later(ctx)
}

// errEvicted is why a call ended that the engine cut: its pod had to go.
var errEvicted = errors.New("pod was taken out of service during the call")

// postponed reports the errors that are no end of an execution but a reason to try again.
func postponed(err error) bool {
	for _, reason := range []error{pod.ErrBusy, errEvicted, store.ErrUnavailable, stream.ErrUnavailable} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
