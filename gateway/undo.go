package gateway

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// codeRefused is the code of the error in the record of a submission that was refused after the record was written. Nobody was told its id.
const codeRefused = "REFUSED"

// remains is what a submission has written so far.
type remains struct {
	work   stream.Work
	record store.Execution
	// aside says that a large body was stored, or a part of it, and queued that the work was, or may be.
	aside, queued bool
	// created says that the record was stored, doubtful that it may be or may yet come to be.
	created, doubtful bool
}

// unheard reports whether err leaves open if a write was made.
func unheard(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, stream.ErrUnavailable) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// undo takes away what a refused submission left, so that it looks neither accepted nor claimed. What may be run all the same stays whole,
// with the key that leads to it: if nothing is known of a write, or if a repetition made the record meanwhile. claimed says that c made the claim
// on its key; who goes on under another's leaves to that one what both have stored. What stays without its counterpart is found by the
// engine's reaper.
//
// While NATS does not answer this takes long and comes to little, and nobody waits for it.
func (s *service) undo(ctx context.Context, left remains, c submission, claimed bool, reason error) {
	if !unheard(reason) {
		s.takeAway(ctx, left, c, claimed)
		return
	}
	s.begun.Go(func() {
		ctx, cancel := finishing(ctx)
		defer cancel()
		s.takeAway(ctx, left, c, claimed)
	})
}

func (s *service) takeAway(ctx context.Context, left remains, c submission, claimed bool) {
	if !s.isRefused(ctx, left, c, claimed) {
		return
	}
	var errs []error
	if left.queued {
		errs = append(errs, s.cfg.Stream.Remove(ctx, left.work.App, left.work.Execution))
	}
	if left.aside {
		errs = append(errs, s.cfg.Store.DeletePayload(ctx, left.record.RequestObject))
	}
	if err := errors.Join(errs...); err != nil {
		s.logLeft(ctx, c, err)
	}
}

// isRefused sees to it that c is not accepted any more, by nobody, and reports whether that is certain.
func (s *service) isRefused(ctx context.Context, left remains, c submission, claimed bool) bool {
	switch {
	case left.created:
		return s.takeBack(ctx, left.record)
	case left.doubtful || c.key != "" && !claimed:
		return false
	case c.key == "":
		return true
	}
	refused, err := s.cfg.Store.ReleaseKey(ctx, c.org, c.app.AppRef, c.key, claimOf(c))
	if err != nil {
		s.logLeft(ctx, c, err)
	}
	return refused
}

func (s *service) logLeft(ctx context.Context, c submission, err error) {
	s.log.LogAttrs(ctx, slog.LevelWarn, "something of a refused execution is left behind",
		slog.String("execution", c.id()), slog.String("error", err.Error()))
}

// takeBack ends a record whose work could not be queued, so that nobody waits for it and it goes with its retention, and reports
// whether it did.
func (s *service) takeBack(ctx context.Context, record store.Execution) bool {
	record.Status, record.FinishedAt, record.DueAt = store.Failed, time.Now(), time.Time{}
	record.Error = &store.ExecutionError{Code: codeRefused, Message: "it was refused: it could not be queued"}
	if _, err := s.cfg.Store.UpdateExecution(ctx, record); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "a refused execution may run or stay pending",
			slog.String("execution", record.ID), slog.String("error", err.Error()))
		return false
	}
	return true
}
