package gateway

import (
	"context"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func (s *service) CancelExecution(ctx context.Context, r *ignitev1.CancelExecutionRequest) (*ignitev1.CancelExecutionResponse, error) {
	panic("being written")
}
