package gateway

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

func (s *service) GetExecution(ctx context.Context, r *ignitev1.GetExecutionRequest) (*ignitev1.GetExecutionResponse, error) {
	record, err := s.execution(ctx, r.GetExecutionId())
	if err != nil {
		return nil, err
	}
	execution, err := s.withResult(ctx, s.mended(ctx, record))
	if err != nil {
		return nil, err
	}
	return &ignitev1.GetExecutionResponse{Execution: execution}, nil
}

// execution answers the record of that id that one of the caller's organizations owns. An id of somebody else's, one
// that was never given out, and one that is none at all cannot be told apart.
func (s *service) execution(ctx context.Context, id string) (store.Execution, error) {
	if store.ValidExecutionID(id) {
		for _, org := range sortedKeys(callerOf(ctx).Orgs) {
			record, err := s.cfg.Store.Execution(ctx, org, id)
			if !errors.Is(err, store.ErrNotFound) {
				return record, err
			}
		}
	}
	return store.Execution{}, noExecution(id)
}

func noExecution(id string) error { return newFault(codes.NotFound, "there is no execution %.64q", id) }

// withResult is a record and, once it is terminal, its result.
func (s *service) withResult(ctx context.Context, record store.Execution) (*ignitev1.Execution, error) {
	execution := publicExecution(record)
	if !record.Status.Terminal() {
		return execution, nil
	}
	result, err := s.cfg.Store.Result(ctx, record)
	if err != nil {
		return nil, fmt.Errorf("result of execution %s: %w", record.ID, err)
	}
	execution.Result = result
	return execution, nil
}
