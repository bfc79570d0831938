package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

const (
	// codeCancelled is the code of the error in the record of what was cancelled.
	codeCancelled = "CANCELLED"
	// maxCancelReason bounds what a caller may write into that error, in bytes.
	maxCancelReason = 1 << 10
	// cancelTries is how often a cancellation is repeated against others who write the record: each of them brings it on.
	cancelTries = 10
	// cancelAsk is how long the worker is waited for that is told of it.
	cancelAsk = time.Second
)

// CancelExecution ends an execution for whoever asks for it from now on: when it returns, the record is CANCELLED and on disk. What waits
// never begins. What runs is cut by its worker, who is told at once, and finds out by itself some seconds later if the word is lost.
func (s *service) CancelExecution(ctx context.Context, r *ignitev1.CancelExecutionRequest) (*ignitev1.CancelExecutionResponse, error) {
	var v violations
	v.longest("reason", r.GetReason(), maxCancelReason)
	if err := v.err(); err != nil {
		return nil, err
	}
	return finish(ctx, s, func(ctx context.Context) (*ignitev1.CancelExecutionResponse, error) {
		record, err := s.cancelled(ctx, r.GetExecutionId(), r.GetReason())
		if err != nil {
			return nil, err
		}
		if err := s.cfg.Store.Sync(ctx); err != nil {
			return nil, fmt.Errorf("sync the cancellation of execution %s: %w", record.ID, err)
		}
		s.dropWork(ctx, record)
		return &ignitev1.CancelExecutionResponse{Execution: publicExecution(record)}, nil
	})
}

// cancelled answers the record as CANCELLED, which it may have been before. It is written over the very record that was read, so of a
// cancellation and an end that come together one is refused, and then reads the other.
func (s *service) cancelled(ctx context.Context, id, reason string) (record store.Execution, err error) {
	for range cancelTries {
		record, err = s.execution(ctx, id)
		switch {
		case err != nil || record.Status == store.Cancelled:
			return record, err
		case record.Status.Terminal():
			return record, hasEnded(record)
		}
		if record.Status == store.Running {
			record = s.withOutput(ctx, record)
		}
		record, err = s.cfg.Store.UpdateExecution(ctx, cancelledBy(record, reason))
		if !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	if err != nil {
		return record, fmt.Errorf("cancel execution %s: %w", id, err)
	}
	s.cfg.Reached(RecordCancelled)
	return record, nil
}

// withOutput is record with the output that there is of its attempt, since its worker will not write down how much it was. That it cannot be
// counted does not keep the caller from cancelling.
func (s *service) withOutput(ctx context.Context, record store.Execution) store.Execution {
	chunks, err := s.cfg.Stream.OutputChunks(ctx, record.ID, record.Attempt)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "the output of a cancelled execution is not counted",
			slog.String("execution", record.ID), slog.String("error", err.Error()))
		return record
	}
	record.Streamed, record.Chunks = chunks > 0, chunks
	return record
}

// cancelledBy is the record that follows. It keeps the worker who holds it, who is to be told.
func cancelledBy(record store.Execution, reason string) store.Execution {
	while := "while it ran"
	if record.Status == store.Pending {
		while, record.Worker = "while it waited", ""
	}
	record.Status, record.FinishedAt, record.DueAt = store.Cancelled, time.Now(), time.Time{}
	record.Error = &store.ExecutionError{Code: codeCancelled, Message: cmp.Or(reason, "it was cancelled "+while)}
	return record
}

func hasEnded(record store.Execution) error {
	how := toPublic(executionStatuses, record.Status).String()
	if record.Error != nil {
		how += ", " + record.Error.Code
	}
	return newFault(codes.FailedPrecondition, "execution %s has ended already, at %s: %s", record.ID, record.FinishedAt.UTC().Format(time.RFC3339), how)
}

// dropWork lets go of what a cancelled execution leaves. All of it happens anyway, a little later, when the work is delivered next; so
// a repeated cancellation may do it again, and what fails is no error.
func (s *service) dropWork(ctx context.Context, record store.Execution) {
	var err error
	if record.Worker != "" {
		_, err = s.cfg.Stream.Ask(ctx, stream.CancelTopic(record.Worker), []byte(record.ID), cancelAsk)
	} else {
		err = s.removeWork(ctx, record)
	}
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "the work of a cancelled execution is left to its worker",
			slog.String("execution", record.ID), slog.String("error", err.Error()))
	}
}

// removeWork takes the work of what never began away, its large body first: as long as the work is there, a worker would see to it.
func (s *service) removeWork(ctx context.Context, record store.Execution) error {
	if record.RequestObject != "" {
		if err := s.cfg.Store.DeletePayload(ctx, record.RequestObject); err != nil {
			return err
		}
	}
	return s.cfg.Stream.Remove(ctx, stream.App{Org: record.App.Org, Name: record.App.Name}, record.ID)
}
