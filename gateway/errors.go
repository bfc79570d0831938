package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/gateway/auth"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// errStopping is the cause of what ends because the server stops.
var errStopping = errors.New("the server is stopping")

// statusClientClosed is what an access log calls a caller who left; nobody reads it.
const statusClientClosed = 499

// fault is an error as its caller is to see it, on either surface. What is not a fault yet becomes one in faultOf.
type fault struct {
	code codes.Code
	// http is for the few whose HTTP status is finer than their code; 0 is the code's own.
	http    int
	message string
	details []protoadapt.MessageV1
	cause   error
}

func (f *fault) Error() string { return f.message }

func (f *fault) Unwrap() error { return f.cause }

// GRPCStatus lets grpc-go answer a fault as it is.
func (f *fault) GRPCStatus() *status.Status {
	bare := status.New(f.code, validUTF8(f.message)) // it may quote a caller
	full, err := bare.WithDetails(f.details...)
	if err != nil {
		return bare
	}
	return full
}

// left is an error of writing to a caller: nobody is there to read any more.
func left(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(context.Canceled, err)
}

func (f *fault) httpStatus() int {
	if f.http != 0 {
		return f.http
	}
	if f.code == codes.Canceled {
		return statusClientClosed
	}
	return runtime.HTTPStatusFromCode(f.code)
}

// retryAfter is how long the caller should wait, or 0 if the fault does not say.
func (f *fault) retryAfter() time.Duration {
	for _, detail := range f.details {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// newFault is a fault whose message says what to do.
func newFault(code codes.Code, format string, args ...any) *fault {
	return &fault{code: code, message: fmt.Sprintf(format, args...)}
}

// tooLarge is a body over a limit.
func tooLarge(what string, limit int64) *fault {
	f := newFault(codes.ResourceExhausted, "%s is larger than the limit of %d bytes", what, limit)
	f.http = http.StatusRequestEntityTooLarge
	return f
}

// rule is a line of the table from errors to what a caller sees.
type rule struct {
	// is says whether the rule fits, and the error's own text.
	is   func(error) (text string, ok bool)
	code codes.Code
	// http is 0 for the code's own status.
	http int
	// message is what the caller reads; empty is the error's own text, where that is written for callers.
	message string
	// retry is when to try again; 0 says nothing about it.
	retry time.Duration
}

// rules is the table; the first line that fits decides. What fits none is Internal, and its text stays here.
var rules = []rule{
	{is: oneOf(auth.ErrExpired), code: codes.Unauthenticated, message: "the token has expired: get a new one"},
	{is: oneOf(auth.ErrUnauthenticated), code: codes.Unauthenticated, message: "a valid bearer token is required: send `Authorization: Bearer <token>`"},
	{is: oneOf(auth.ErrProviderUnavailable), code: codes.Unavailable, message: "the identity provider does not answer: try again", retry: time.Second},
	{is: oneOf(auth.ErrForbidden), code: codes.PermissionDenied},

	{is: oneOf(errStopping), code: codes.Unavailable, message: "the server is stopping: try again", retry: time.Second},
	{is: oneOf(store.ErrNotFound), code: codes.NotFound, message: "not found"},
	{is: oneOf(store.ErrExists), code: codes.AlreadyExists, message: "already exists"},
	{is: oneOf(store.ErrHostTaken), code: codes.AlreadyExists, message: "another app owns the host name: choose another app name or port"},
	{is: oneOf(store.ErrConflict, store.ErrTransition), code: codes.Aborted, message: "somebody else changed it at the same time: read it again and repeat", retry: 100 * time.Millisecond},
	{is: oneOf(store.ErrFull), code: codes.ResourceExhausted, message: "the storage is full: try again later", retry: 10 * time.Second},
	{is: oneOf(store.ErrTooLarge), code: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge, message: "what is to be stored is too large for one record: make it smaller"},
	{is: oneOf(store.ErrUnavailable), code: codes.Unavailable, message: "the storage does not answer: try again", retry: time.Second},
	{is: oneOf(store.ErrInvalidCode), code: codes.InvalidArgument},

	{is: oneOf(stream.ErrFull), code: codes.ResourceExhausted, message: "the queue is full: try again later", retry: 5 * time.Second},
	{is: oneOf(stream.ErrUnavailable), code: codes.Unavailable, message: "the queue does not answer: try again", retry: time.Second},
	{is: oneOf(stream.ErrTooLarge), code: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge, message: "the request is too large for the queue: send fewer headers"},
	{is: oneOf(stream.ErrInvalid), code: codes.InvalidArgument},
	{is: oneOf(stream.ErrNotFound), code: codes.NotFound, message: "not found"},
	{is: oneOf(stream.ErrLost), code: codes.DataLoss, message: "output that was asked for is no longer stored: GetExecution has the result once there is one"},

	{is: aType[*pod.TimeoutError](), code: codes.DeadlineExceeded},
	{is: oneOf(pod.ErrBusy), code: codes.ResourceExhausted, http: http.StatusServiceUnavailable, message: "too many calls are waiting for a pod of the app: try again later", retry: time.Second},
	{is: aType[*pod.StartError](), code: codes.Unavailable},
	{is: aType[*pod.ExitError](), code: codes.Unavailable, http: http.StatusBadGateway},
	{is: oneOf(pod.ErrAppGone), code: codes.NotFound, message: "the app was deleted"},
	{is: oneOf(pod.ErrNotPublished), code: codes.FailedPrecondition, message: "the app was never published: save a draft and publish it first"},
	{is: oneOf(pod.ErrUnreachable), code: codes.Unavailable, message: "no pod of the app could be reached: try again", retry: time.Second},
	{is: oneOf(pod.ErrBroken), code: codes.Unavailable, http: http.StatusBadGateway, message: "the pod failed during the call"},

	{is: oneOf(context.DeadlineExceeded), code: codes.DeadlineExceeded, message: "the deadline of the call passed"},
	{is: oneOf(context.Canceled), code: codes.Canceled, message: "the caller left"},
}

func oneOf(targets ...error) func(error) (string, bool) {
	return func(err error) (string, bool) {
		is := func(target error) bool { return errors.Is(err, target) }
		return err.Error(), slices.ContainsFunc(targets, is)
	}
}

// aType answers the text of the E itself, without what was wrapped around it on the way.
func aType[E error]() func(error) (string, bool) {
	return func(err error) (string, bool) {
		e, ok := errors.AsType[E](err)
		if !ok {
			return "", false
		}
		return e.Error(), true
	}
}

// faultOf answers err as its caller is to see it, and false if err is of no known kind: then the caller is to
// see no more of it than a name to ask for.
func faultOf(err error) (*fault, bool) {
	if f, ok := errors.AsType[*fault](err); ok {
		return f, true
	}
	if limit, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge("the request body", limit.Limit), true
	}
	for _, r := range rules {
		if text, ok := r.is(err); ok {
			return r.fault(err, text), true
		}
	}
	// grpc-go and grpc-gateway say so what they refuse, and that a stream's other end is gone.
	if s, ok := status.FromError(err); ok {
		return &fault{code: s.Code(), message: s.Message(), cause: err}, true
	}
	return &fault{code: codes.Internal, message: "internal error", cause: err}, false
}

func (r rule) fault(err error, text string) *fault {
	f := &fault{code: r.code, http: r.http, message: cmp.Or(r.message, text), cause: err}
	if r.retry > 0 {
		f.details = append(f.details, &errdetails.RetryInfo{RetryDelay: durationpb.New(r.retry)})
	}
	return f
}
