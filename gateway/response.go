package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// codeAppError is the code of an execution that FAILED because the app answered so.
const codeAppError = "APP_ERROR"

// FetchResponse gives the frames that Invoke would have given. The duration is that of the last attempt, a cold start included.
func (s *service) FetchResponse(r *ignitev1.FetchResponseRequest, stream grpc.ServerStreamingServer[ignitev1.InvokeResponse]) error {
	record, body, err := s.response(stream.Context(), r.GetExecutionId())
	if err != nil {
		return err
	}
	out := &frames{stream: stream}
	response := &http.Response{
		StatusCode:    record.ResponseStatus,
		Header:        record.ResponseHeader,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}
	if err := out.head(record.ID, response); err != nil {
		return err
	}
	total, err := out.body(response)
	if err != nil {
		return err
	}
	return out.trailer(total, record.FinishedAt.Sub(record.StartedAt), record.ResponseTrailer)
}

// response answers an execution that a pod answered in full, and that answer's body.
func (s *service) response(ctx context.Context, id string) (store.Execution, []byte, error) {
	record, err := s.execution(ctx, id)
	if err != nil {
		return store.Execution{}, nil, err
	}
	if err := unanswered(record); err != nil {
		return store.Execution{}, nil, err
	}
	body, err := s.cfg.Store.Result(ctx, record)
	if err != nil {
		return store.Execution{}, nil, fmt.Errorf("answer of execution %s: %w", id, err)
	}
	return record, body, nil
}

// unanswered says why there is no answer to give, and what to do. One that broke off is none: its status would promise a whole body.
func unanswered(record store.Execution) error {
	status := toPublic(executionStatuses, record.Status)
	failure := publicError(record)
	switch {
	case record.Status == store.Completed, record.Status == store.Failed && failure.GetCode() == codeAppError:
		return nil
	case !record.Status.Terminal():
		return newFault(codes.FailedPrecondition, "execution %s has no answer yet, it is %s: wait for its end with GetExecution or WatchExecution", record.ID, status)
	case record.ResponseStatus != 0 && record.Status != store.Cancelled:
		return newFault(codes.FailedPrecondition, "the answer of execution %s, a %d, is not whole; GetExecution has what there is of it: %s, %s: %s",
			record.ID, record.ResponseStatus, status, failure.GetCode(), failure.GetMessage())
	default:
		return newFault(codes.FailedPrecondition, "execution %s has no answer, and will have none: %s, %s: %s",
			record.ID, status, failure.GetCode(), failure.GetMessage())
	}
}
