package gateway

import (
	"context"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func (s *service) RedriveExecution(ctx context.Context, r *ignitev1.RedriveExecutionRequest) (*ignitev1.RedriveExecutionResponse, error) {
	panic("being written")
}

func (s *service) RedriveExecutions(ctx context.Context, r *ignitev1.RedriveExecutionsRequest) (*ignitev1.RedriveExecutionsResponse, error) {
	panic("being written")
}

func (s *service) PurgeDeadLetters(ctx context.Context, r *ignitev1.PurgeDeadLettersRequest) (*ignitev1.PurgeDeadLettersResponse, error) {
	panic("being written")
}
