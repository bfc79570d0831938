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
func (s *service) submit(ctx context.Context, c call) error {
	work, record, err := s.newWork(ctx, c)
	if err != nil {
		return err
	}
	if err := s.accept(ctx, work, record); err != nil {
		return err
	}
	if err := s.cfg.Store.Sync(ctx); err != nil {
		return fmt.Errorf("sync execution %s: %w", record.ID, err)
	}
	return nil
}

func (s *service) newWork(ctx context.Context, c call) (stream.Work, store.Execution, error) {
	id := c.identity.ExecutionID
	work := stream.Work{Execution: id, Owner: c.org, App: stream.App{Org: c.app.Org, Name: c.app.Name}, Body: c.body}
	head := pod.Head{Envelope: c.envelope, Identity: c.identity}
	if len(c.body) > store.MaxInline {
		head.Object, work.Body = "request."+id, nil
		if err := s.cfg.Store.PutPayload(ctx, head.Object, c.body); err != nil {
			return stream.Work{}, store.Execution{}, fmt.Errorf("store the request of execution %s: %w", id, err)
		}
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
		MaxAttempts:   1,
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
	if recordErr == nil && queueErr != nil {
		s.takeBack(ctx, created)
	}
	if err := errors.Join(recordErr, queueErr); err != nil {
		return fmt.Errorf("accept execution %s: %w", record.ID, err)
	}
	return nil
}

// takeBack ends a record whose work could not be queued, so that it goes with its retention and a sweep does not wait for it.
// If work without a record was queued instead, its worker drops it.
func (s *service) takeBack(ctx context.Context, record store.Execution) {
	record.Status, record.FinishedAt = store.Failed, time.Now()
	record.Error = &store.ExecutionError{Code: "INTERNAL", Message: "it could not be queued"}
	_, err := s.cfg.Store.UpdateExecution(ctx, record)
	if record.RequestObject != "" {
		err = errors.Join(err, s.cfg.Store.DeletePayload(ctx, record.RequestObject))
	}
	if err != nil {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a refused execution stays pending",
			slog.String("execution", record.ID), slog.String("error", err.Error()))
	}
}
