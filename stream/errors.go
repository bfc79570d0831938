package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What callers decide by.
var (
	// ErrFull says that the queue or the storage reached its cap; nothing was stored.
	ErrFull = errors.New("queue is full")
	// ErrUnavailable says that NATS did not answer; nothing is known about what was to be stored.
	ErrUnavailable = errors.New("queue is unavailable")
	// ErrTooLarge says that a message would be larger than NATS takes; nothing was stored.
	ErrTooLarge = errors.New("message is too large")
	// ErrInvalid says that a name or an id cannot be one.
	ErrInvalid = errors.New("invalid name")
	// ErrNotFound says that nothing is stored under the id.
	ErrNotFound = errors.New("not found")
	// ErrLost says that output which was asked for is no longer there: it aged out, or its stream reached its cap.
	ErrLost = errors.New("output is no longer complete")
	// ErrClosed says that the Stream or its connection was closed; it is an ErrUnavailable that does not pass.
	ErrClosed = fmt.Errorf("%w: closed", ErrUnavailable)
)

const (
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeStorageExceeded       jetstream.ErrorCode = 10047
	// codeStoreFailed is a cap of the stream: messages, bytes, or messages of a subject.
	codeStoreFailed jetstream.ErrorCode = 10077
)

// translate keeps NATS's errors from leaving the package: their text stays, their type goes. An end of the
// caller's own ctx stays what it is.
func translate(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, nats.ErrConnectionClosed):
		return ErrClosed
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %s", ErrTooLarge, err.Error())
	}
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return translateRefusal(refused)
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, err.Error())
}

func translateRefusal(refused *jetstream.APIError) error {
	switch refused.ErrorCode {
	case codeInsufficientResources, codeStorageExceeded, codeStoreFailed:
		return fmt.Errorf("%w: %s", ErrFull, refused.Description)
	}
	if refused.Code >= 500 {
		return fmt.Errorf("%w: %s", ErrUnavailable, refused.Description)
	}
	return fmt.Errorf("refused by JetStream (%d): %s", refused.ErrorCode, refused.Description)
}

// refusedWith reports whether JetStream refused with one of codes.
func refusedWith(err error, codes ...jetstream.ErrorCode) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return ok && slices.Contains(codes, refused.ErrorCode)
}
