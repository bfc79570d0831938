package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// InvokeAsync answers the id once the record and the work are on disk: an id that was handed out is known from then on.
func (s *service) InvokeAsync(ctx context.Context, r *ignitev1.InvokeRequest) (*ignitev1.InvokeAsyncResponse, error) {
	c, err := s.newCall(ctx, r)
	if err != nil {
		return nil, err
	}
	if c.org == "" {
		return nil, newFault(codes.PermissionDenied, "the token names no organization, and an execution must belong to one: use Invoke")
	}
	stripCredentials(c.envelope.Header)
	ctx, cancel := finishing(ctx)
	defer cancel()
	if err := s.submit(ctx, c); err != nil {
		return nil, err
	}
	return &ignitev1.InvokeAsyncResponse{ExecutionId: c.identity.ExecutionID}, nil
}

// submit is the order of effects: a large body aside, then record and work side by side, then one sync for all of them.
// Before the first of them it asks for room, so that a store that is full is not filled with what nobody will fetch.
func (s *service) submit(ctx context.Context, c call) error {
	work, record, err := newWork(c)
	if err != nil {
		return err
	}
	if err := s.cfg.Store.Admit(ctx); err != nil {
		return err
	}
	if record.RequestObject != "" {
		if err := s.cfg.Store.PutPayload(ctx, record.RequestObject, c.body); err != nil {
			return fmt.Errorf("store the request of execution %s: %w", record.ID, err)
		}
	}
	if err := s.accept(ctx, work, record); err != nil {
		return err
	}
	if err := s.cfg.Store.Sync(ctx); err != nil {
		return fmt.Errorf("sync execution %s: %w", record.ID, err)
	}
	return nil
}

// newWork is a call as work and as record. A body that is too large for the message is named in both.
func newWork(c call) (stream.Work, store.Execution, error) {
	id := c.identity.ExecutionID
	work := stream.Work{Execution: id, Owner: c.org, App: stream.App{Org: c.app.Org, Name: c.app.Name}, Body: c.body}
	head := pod.Head{Envelope: c.envelope, Identity: c.identity}
	if len(c.body) > store.MaxInline {
		head.Object, work.Body = "request."+id, nil
	}
	request, err := pod.EncodeHead(head)
	if err != nil {
		return stream.Work{}, store.Execution{}, fmt.Errorf("execution %s: %w", id, err)
	}
	work.Request = request
	return work, newRecord(c, head.Object), nil
}

func newRecord(c call, object string) store.Execution {
	return store.Execution{
		ID:            c.identity.ExecutionID,
		Org:           c.org,
		App:           c.app.AppRef,
		Version:       c.app.ActiveVersion,
		Status:        store.Pending,
		Retry:         c.app.Retry,
		Incarnation:   c.app.Incarnation,
		Tier:          c.app.Tier,
		CreatedAt:     time.Now(),
		RequestObject: object,
	}
}

// accept writes record and work side by side. If one of them fails, what the other left is taken back: nobody
// knows the id yet.
func (s *service) accept(ctx context.Context, work stream.Work, record store.Execution) error {
	var (
		writing  sync.WaitGroup
		queueErr error
	)
	writing.Go(func() { queueErr = s.cfg.Stream.Enqueue(ctx, work) })
	created, recordErr := s.cfg.Store.CreateExecution(ctx, record)
	writing.Wait()
	if err := errors.Join(recordErr, queueErr); err != nil {
		if recordErr == nil {
			recordErr = s.takeBack(ctx, created)
		}
		s.dropRequest(ctx, record, recordErr)
		return fmt.Errorf("accept execution %s: %w", record.ID, err)
	}
	return nil
}

// errTakenBack says that a record was ended because its work could not be queued.
var errTakenBack = errors.New("it could not be queued")

// takeBack ends a record whose work could not be queued, so that it goes with its retention and nobody waits for it.
// If work without a record was queued instead, its worker drops it.
func (s *service) takeBack(ctx context.Context, record store.Execution) error {
	record.Status, record.FinishedAt = store.Failed, time.Now()
	record.Error = &store.ExecutionError{Code: "INTERNAL", Message: errTakenBack.Error()}
	if _, err := s.cfg.Store.UpdateExecution(ctx, record); err != nil {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a refused execution may run or stay pending",
			slog.String("execution", record.ID), slog.String("error", err.Error()))
		return err
	}
	return errTakenBack
}

// dropRequest takes away the large body of an execution that was refused, unless a worker may still come to run it: reason says why
// there is no record for one to find. What stays goes with the retention of payloads.
func (s *service) dropRequest(ctx context.Context, record store.Execution, reason error) {
	runs := errors.Is(reason, store.ErrUnavailable) || errors.Is(reason, store.ErrConflict) || ctx.Err() != nil
	if record.RequestObject == "" || runs {
		return
	}
	if err := s.cfg.Store.DeletePayload(ctx, record.RequestObject); err != nil {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the request of a refused execution is left behind",
			slog.String("execution", record.ID), slog.String("error", err.Error()))
	}
}
