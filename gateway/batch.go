package gateway

import (
	"context"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func (s *service) InvokeAsyncBatch(ctx context.Context, r *ignitev1.InvokeAsyncBatchRequest) (*ignitev1.InvokeAsyncBatchResponse, error) {
	panic("being written")
}
