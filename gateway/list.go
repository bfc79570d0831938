package gateway

import (
	"context"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func (s *service) ListExecutions(ctx context.Context, r *ignitev1.ListExecutionsRequest) (*ignitev1.ListExecutionsResponse, error) {
	panic("being written")
}
