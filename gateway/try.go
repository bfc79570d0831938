package gateway

import (
	"context"

	"google.golang.org/grpc"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func (s *service) TestDraft(ctx context.Context, r *ignitev1.TestDraftRequest) (*ignitev1.TestDraftResponse, error) {
	panic("being written")
}

func (s *service) TestAppVersion(ctx context.Context, r *ignitev1.TestAppVersionRequest) (*ignitev1.TestAppVersionResponse, error) {
	panic("being written")
}

func (s *service) StreamCompileLogs(r *ignitev1.StreamCompileLogsRequest, stream grpc.ServerStreamingServer[ignitev1.StreamCompileLogsResponse]) error {
	panic("being written")
}
