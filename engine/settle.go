package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dodil.io/ignite/store"
)

const (
	// writeLimit bounds one try at writing a record: a write that is lost with its connection is not heard of again.
	writeLimit = 5 * time.Second
	// resultLimit bounds one try at storing a large result.
	resultLimit = time.Minute
	// concludeLimit bounds the dead letter, the sync and the acknowledgement.
	concludeLimit = time.Minute
	// roomPatience is how long a full store is asked to take the answer, and then once more as long to take the outcome without it.
	roomPatience = 30 * time.Second
	// outputSlack is how much longer than its attempt can take, and than the retention, output is kept: what ends the record may have to
	// wait for NATS. resultSlack is for a result, which is stored just before its record: JetStream counts in seconds.
	outputSlack = 2 * time.Minute
	resultSlack = 2 * time.Second
	// lostAttempts is how many attempts may have been lost one after the other: more than the usual limit. All that there were may be thousands,
	// of an app that said "not now" for long.
	lostAttempts = 8
)

// settle stores the outcome, which only the holder of the attempt can.
func (a *attempt) settle(ctx context.Context, o outcome) end {
	var settled store.Execution
	e, stored := a.insist(ctx, func(last error, waited time.Duration) (_ store.Execution, err error) {
		if cannotBeKept(last, waited) {
			o = o.withoutAnswer(last)
		}
		settled, err = a.write(ctx, o)
		return settled, err
	})
	if !stored {
		a.dropUnused(ctx, e)
		return e
	}
	a.reached(RecordSettled)
	a.log.LogAttrs(ctx, slog.LevelDebug, "execution ended", slog.String("execution", settled.ID), slog.String("app", settled.App.String()),
		slog.Uint64("version", uint64(settled.Version)), slog.Uint64("attempt", uint64(settled.Attempt)), slog.String("status", string(settled.Status)))
	e = over(settled)
	e.body = a.body
	return e
}

// insist tries until the record is written, another writer turns out to have ended the attempt, or ctx ends; in the last two cases it answers
// what becomes of the job. try hears why it failed before and for how long. A store that stays full gets the job back: then
// the attempt is repeated, for there is nowhere to say how it ended.
func (a *attempt) insist(ctx context.Context, try func(last error, waited time.Duration) (store.Execution, error)) (e end, stored bool) {
	began := time.Now()
	pauses := backoff{least: 50 * time.Millisecond, most: 5 * time.Second}
	var last error
	for {
		_, err := try(last, time.Since(began))
		switch {
		case err == nil:
			return end{}, true
		case lost(err):
			if e, still := a.reread(ctx); !still {
				return e, false
			}
		case errors.Is(err, store.ErrFull) && time.Since(began) > 2*roomPatience:
			a.log.ErrorContext(ctx, "record is not stored, for the store is full", slog.String("execution", a.held.ID), slog.Any("error", err))
			return givenBack(holderPatience), false
		}
		last = err
		if pauses.wait(ctx) != nil {
			return a.later(ctx), false
		}
		a.log.WarnContext(ctx, "record not stored yet", slog.String("execution", a.held.ID), slog.Any("error", err))
	}
}

// errNoRoom says that a large result has no place; its record may have one.
var errNoRoom = errors.New("no room for the result")

// cannotBeKept reports whether an answer has to be let go for the outcome to be stored.
func cannotBeKept(err error, waited time.Duration) bool {
	return errors.Is(err, errNoRoom) || errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrFull) && waited > roomPatience
}

// write stores the result and then the record.
func (a *attempt) write(ctx context.Context, o outcome) (store.Execution, error) {
	next := o.record(a.held)
	if len(next.Result) > store.MaxInline {
		next.ResultObject = resultObject(next.ID, next.Attempt)
		next.ExpiresAt = time.Now().Add(a.store.Retention())
		if err := a.keepResult(ctx, next); err != nil {
			return store.Execution{}, err
		}
		next.Result = nil
		a.reached(ResultStored)
	}
	return a.updateUncut(ctx, next)
}

// updateUncut writes a record and is not cut by the end of ctx, which means the calls.
func (a *attempt) updateUncut(ctx context.Context, next store.Execution) (store.Execution, error) {
	return a.update(context.WithoutCancel(ctx), next)
}

func (a *attempt) keepResult(ctx context.Context, next store.Execution) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resultLimit)
	defer cancel()
	a.kept = true
	err := a.store.KeepPayload(ctx, next.ResultObject, next.Result, next.ExpiresAt.Add(resultSlack))
	if errors.Is(err, store.ErrFull) {
		return fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return err
}

// resultObject names the large result of an attempt. The attempt is in it, or a worker that has lost the record could overwrite what the next one stored.
func resultObject(id string, attempt uint32) string { return fmt.Sprintf("result.%s.%d", id, attempt) }

// dropResults deletes what the last attempts, of workers that are lost, may have stored of a large result: no record is going to name it.
func (a *attempt) dropResults(ctx context.Context, before store.Execution) {
	if before.Status != store.Running {
		return
	}
	for n := range min(before.Attempt, lostAttempts) {
		a.dropResult(ctx, before.ID, before.Attempt-n)
	}
}

// dropUnused deletes the large result of an attempt whose record was ended or taken by another: e is what became of the job.
func (a *attempt) dropUnused(ctx context.Context, e end) {
	named := e.record.ResultObject == resultObject(a.held.ID, a.held.Attempt)
	ended := e.verb == acknowledge && e.record.ID != "" && !named
	if a.kept && (ended || e.verb == forget) {
		a.dropResult(ctx, a.held.ID, a.held.Attempt)
	}
}

// dropResult leaves to its time to live what it cannot delete.
func (a *attempt) dropResult(ctx context.Context, id string, attempt uint32) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	if err := a.store.DeletePayload(ctx, resultObject(id, attempt)); err != nil {
		a.log.WarnContext(ctx, "a result that nobody needs is left behind", slog.String("execution", id), slog.Any("error", err))
	}
}

// withoutAnswer is the outcome of an execution whose answer could not be kept. What failed anyway keeps its cause.
func (o outcome) withoutAnswer(reason error) outcome {
	if o.result == nil && o.header == nil && o.trailer == nil {
		return o
	}
	fault := store.ExecutionError{Code: codeInternal}
	if o.status == store.Completed {
		fault.Message = fmt.Sprintf("the app answered %d with %d bytes, but they could not be kept: %v", o.response, len(o.result), reason)
		o.status, o.account = store.Failed, nobodys
	} else {
		fault.Code = o.fault.Code
		fault.Message = fmt.Sprintf("%s; its %d bytes could not be kept: %v", o.fault.Message, len(o.result), reason)
	}
	fault.Message = clip(fault.Message)
	o.fault = &fault
	o.result, o.header, o.trailer = nil, nil, nil
	return o
}

// reread finds out who wrote the record meanwhile; still says that this worker holds it after all.
func (a *attempt) reread(ctx context.Context) (e end, still bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	return a.overtaken(ctx, a.held)
}
