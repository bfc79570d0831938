package gateway

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// errLate answers who could not be told in time what became of their call.
var errLate = &fault{
	code:    codes.Unavailable,
	message: "the storage did not answer within the deadline of the call, which may be accepted or not: try again, with an idempotency key it is accepted once",
	details: []protoadapt.MessageV1{&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}},
}

// finish runs do to its end, even if the caller leaves, so that nothing stays half done. A caller who set a deadline is answered a little before
// it, and do goes on alone; its own time is bounded by finishTime.
func finish[T any](ctx context.Context, s *service, do func(context.Context) (T, error)) (T, error) {
	lasting, cancel := finishing(ctx)
	deadline, hurried := ctx.Deadline()
	if !hurried {
		defer cancel()
		return do(lasting)
	}
	var answer T
	var err error
	done := make(chan struct{})
	s.begun.Go(func() {
		defer cancel()
		defer close(done)
		answer, err = do(lasting)
	})
	late := time.NewTimer(time.Until(deadline) / 10 * 9)
	defer late.Stop()
	select {
	case <-done:
		return answer, err
	case <-late.C:
		var none T
		return none, errLate
	}
}
