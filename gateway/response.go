package gateway

import (
	"google.golang.org/grpc"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func (s *service) FetchResponse(r *ignitev1.FetchResponseRequest, stream grpc.ServerStreamingServer[ignitev1.InvokeResponse]) error {
	panic("being written")
}
