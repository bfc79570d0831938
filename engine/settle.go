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
	// concludeLimit bounds the sync and the acknowledgement.
	concludeLimit = 30 * time.Second
)

// settle stores the outcome, which only the holder of the attempt can, and tries until it is stored, until another worker turns
// out to hold the record, or until ctx ends; then the job comes again and the attempt is repeated.
func (a *attempt) settle(ctx context.Context, o outcome) end {
	pauses := backoff{least: 50 * time.Millisecond, most: 5 * time.Second}
	for {
		err := a.write(ctx, o)
		if err == nil {
			return over(o.record(a.held))
		}
		if lost(err) {
			if e, still := a.reread(ctx); !still {
				return e
			}
		}
		if errors.Is(err, errNoRoom) || errors.Is(err, store.ErrTooLarge) {
			o = o.withoutAnswer(err)
		}
		a.log.WarnContext(ctx, "outcome not stored yet", slog.String("execution", a.held.ID), slog.Any("error", err))
		if pauses.wait(ctx) != nil {
			return end{verb: forget}
		}
	}
}

// errNoRoom says that a large result has no place; its record may have one.
var errNoRoom = errors.New("no room for the result")

// write stores the result and then the record. Writes are not cut by the end of ctx, which means the calls.
func (a *attempt) write(ctx context.Context, o outcome) error {
	ctx = context.WithoutCancel(ctx)
	next := o.record(a.held)
	if len(next.Result) > store.MaxInline {
		// The attempt is in the name, or a worker that has lost the record could overwrite what the next one stored.
		next.ResultObject = fmt.Sprintf("result.%s.%d", next.ID, next.Attempt)
		if err := a.putResult(ctx, next); err != nil {
			return err
		}
		next.Result = nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	_, err := a.update(ctx, next)
	return err
}

func (a *attempt) putResult(ctx context.Context, next store.Execution) error {
	ctx, cancel := context.WithTimeout(ctx, resultLimit)
	defer cancel()
	err := a.store.PutPayload(ctx, next.ResultObject, next.Result)
	if errors.Is(err, store.ErrFull) {
		return fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return err
}

// withoutAnswer is the outcome of an execution whose answer could not be kept.
func (o outcome) withoutAnswer(reason error) outcome {
	o.status = store.Failed
	o.fault = &store.ExecutionError{
		Code:    codeInternal,
		Message: clip(fmt.Sprintf("the app answered %d with %d bytes, but they could not be kept: %v", o.response, len(o.result), reason)),
	}
	o.result, o.header, o.trailer = nil, nil, nil
	return o
}

// reread finds out who wrote the record meanwhile; still says that this worker holds it after all.
func (a *attempt) reread(ctx context.Context) (e end, still bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	return a.overtaken(ctx, a.held)
}
