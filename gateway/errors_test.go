package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/gateway/auth"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

func TestWhatCallersSeeOfAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code codes.Code
		http int
	}{
		{auth.ErrUnauthenticated, codes.Unauthenticated, 401},
		{auth.ErrExpired, codes.Unauthenticated, 401},
		{auth.ErrProviderUnavailable, codes.Unavailable, 503},
		{auth.ErrForbidden, codes.PermissionDenied, 403},
		{store.ErrNotFound, codes.NotFound, 404},
		{store.ErrExists, codes.AlreadyExists, 409},
		{store.ErrHostTaken, codes.AlreadyExists, 409},
		{store.ErrConflict, codes.Aborted, 409},
		{store.ErrTransition, codes.Aborted, 409},
		{store.ErrFull, codes.ResourceExhausted, 429},
		{store.ErrTooLarge, codes.ResourceExhausted, 413},
		{store.ErrUnavailable, codes.Unavailable, 503},
		{store.ErrInvalidCode, codes.InvalidArgument, 400},
		{stream.ErrFull, codes.ResourceExhausted, 429},
		{stream.ErrUnavailable, codes.Unavailable, 503},
		{stream.ErrClosed, codes.Unavailable, 503},
		{stream.ErrTooLarge, codes.ResourceExhausted, 413},
		{stream.ErrInvalid, codes.InvalidArgument, 400},
		{stream.ErrNotFound, codes.NotFound, 404},
		{stream.ErrLost, codes.DataLoss, 500},
		{pod.ErrBusy, codes.ResourceExhausted, 503},
		{pod.ErrAppGone, codes.NotFound, 404},
		{pod.ErrNotPublished, codes.FailedPrecondition, 400},
		{pod.ErrUnreachable, codes.Unavailable, 503},
		{pod.ErrBroken, codes.Unavailable, 502},
		{&pod.ExitError{Pod: "p", Reason: "killed"}, codes.Unavailable, 502},
		{&pod.StartError{Pod: "p", Reason: "exited"}, codes.Unavailable, 503},
		{&pod.TimeoutError{Clock: "idle", Limit: time.Second}, codes.DeadlineExceeded, 504},
		{&http.MaxBytesError{Limit: 7}, codes.ResourceExhausted, 413},
		{errStopping, codes.Unavailable, 503},
		{context.Canceled, codes.Canceled, 499},
		{context.DeadlineExceeded, codes.DeadlineExceeded, 504},
	} {
		f, known := faultOf(fmt.Errorf("while testing: %w", c.err))
		if !known || f.code != c.code || f.httpStatus() != c.http || f.message == "" {
			t.Errorf("%v is seen as %v, %d, %q (%v), want %v, %d", c.err, f.code, f.httpStatus(), f.message, known, c.code, c.http)
		}
		if s := status.Convert(f); s.Code() != c.code || len(s.Details()) != len(f.details) {
			t.Errorf("%v is the status %v", c.err, s)
		}
		if !errors.Is(f, c.err) && f.cause != nil {
			t.Errorf("%v is not in the chain of what is seen of it", c.err)
		}
	}
	if f, known := faultOf(errors.New("secret")); known || f.code != codes.Internal || f.message != "internal error" {
		t.Errorf("an unknown error is seen as %v %q", f.code, f.message)
	}
}
