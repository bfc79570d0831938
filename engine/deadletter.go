package engine

import (
	"context"
	"errors"
	"log/slog"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// keepsRequest reports the ends after which somebody may want the execution once more.
func keepsRequest(s store.Status) bool { return s == store.Failed || s == store.Timeout }

// keepDeadLetter stores the work and the large body of its request for as long as the record.
func (w *worker) keepDeadLetter(ctx context.Context, job *stream.Job, e end) error {
	if err := w.unlessFull(ctx, job, w.keepBody(ctx, e)); err != nil {
		return err
	}
	return w.unlessFull(ctx, job, w.stream.KeepDeadLetter(ctx, job.Work, e.record.ExpiresAt))
}

// unlessFull passes err on, unless it says that there is no room: the execution has ended all the same.
func (w *worker) unlessFull(ctx context.Context, job *stream.Job, err error) error {
	for _, reason := range []error{store.ErrFull, store.ErrTooLarge, stream.ErrFull, stream.ErrTooLarge} {
		if errors.Is(err, reason) {
			w.log.WarnContext(ctx, "dead letter cannot be kept", slog.String("execution", job.Execution), slog.Any("error", err))
			return nil
		}
	}
	return err
}

// keepBody stores a large body again, now with an end to its life.
func (w *worker) keepBody(ctx context.Context, e end) error {
	name, body := e.record.RequestObject, e.body
	if name == "" {
		return nil
	}
	if body == nil {
		var err error
		body, err = w.store.Payload(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil // whatever is left of the request, there is no more of it
		}
		if err != nil {
			return err
		}
	}
	return w.store.KeepPayload(ctx, name, body, e.record.ExpiresAt)
}

// dropRequest deletes a large request body, or leaves it to the reaper.
func (w *worker) dropRequest(ctx context.Context, job *stream.Job, name string) {
	if err := w.store.DeletePayload(ctx, name); err != nil {
		w.log.WarnContext(ctx, "a request's body is left behind", slog.String("execution", job.Execution), slog.Any("error", err))
	}
}
