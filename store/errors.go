package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What callers decide by.
var (
	ErrNotFound   = errors.New("not found")
	ErrExists     = errors.New("already exists")
	ErrConflict   = errors.New("changed by another writer")
	ErrTransition = errors.New("illegal transition")
	ErrHostTaken  = errors.New("host name taken")
	// ErrInvalidName says that a name breaks NameRule, or an id or a host label its own form.
	ErrInvalidName = errors.New("invalid name")
	// ErrInvalidCursor says that a cursor was not given out by the listing that it came back to.
	ErrInvalidCursor = errors.New("invalid cursor")
	// ErrTooLarge says that a record does not fit into a message. It never will.
	ErrTooLarge = errors.New("record is too large")
	// ErrFull says that a bucket or the whole store reached its cap.
	ErrFull = errors.New("storage is full")
	// ErrUnavailable says that NATS did not answer; nothing is known about the write.
	ErrUnavailable = errors.New("storage is unavailable")
)

// ErrInvalidCode says that code cannot be used as it is: a bad archive, a missing entry point, a build that fails.
// It is kept here because who checks code and who answers for it do not know each other.
var ErrInvalidCode = errors.New("invalid code")

// HostTakenError says who owns a host name, and who wanted it; it is an ErrHostTaken.
type HostTakenError struct {
	Host string
	// Owner's Port has it, and ForPort of For would have it too.
	Owner   AppRef
	Port    uint32
	For     AppRef
	ForPort uint32
}

func (e *HostTakenError) Error() string {
	return fmt.Sprintf("host %s of port %d of app %s belongs to port %d of app %s: %s", e.Host, e.ForPort, e.For, e.Port, e.Owner, ErrHostTaken)
}

func (e *HostTakenError) Unwrap() error { return ErrHostTaken }

// Codes of the JetStream API that nats.go does not name.
const (
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeStorageReserved       jetstream.ErrorCode = 10047
	codeStoreFailed           jetstream.ErrorCode = 10077
)

var (
	natsNotFound = []error{
		jetstream.ErrKeyNotFound, jetstream.ErrKeyDeleted, jetstream.ErrMsgNotFound, jetstream.ErrObjectNotFound,
	}
	natsUnavailable = []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrConnectionDraining,
		nats.ErrConnectionReconnecting, nats.ErrDisconnected, nats.ErrReconnectBufExceeded, nats.ErrNoServers,
		jetstream.ErrNoStreamResponse, jetstream.ErrConnectionClosed, jetstream.ErrServerShutdown,
		jetstream.ErrAsyncPublishTimeout, jetstream.ErrTooManyStalledMsgs,
	}
)

// translate answers what an error of NATS means to callers. Of the error itself only the text goes on, but the end of
// a context stays recognisable.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrUnavailable, context.DeadlineExceeded)
	case isAny(err, natsNotFound):
		return ErrNotFound
	case isAny(err, natsUnavailable):
		return fmt.Errorf("%w: %s", ErrUnavailable, err.Error())
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %s", ErrTooLarge, err.Error())
	}
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return translateAPI(refused)
	}
	return errors.New(err.Error())
}

func translateAPI(refused *jetstream.APIError) error {
	switch refused.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return ErrConflict
	case jetstream.JSErrCodeMessageNotFound:
		return ErrNotFound
	case jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return fmt.Errorf("%w: %s", ErrTooLarge, refused.Description)
	case codeInsufficientResources, codeStorageReserved:
		return fmt.Errorf("%w: %s", ErrFull, refused.Description)
	case codeStoreFailed:
		// The code stands for any failure to store; only the text tells which.
		if strings.Contains(refused.Description, "maximum") {
			return fmt.Errorf("%w: %s", ErrFull, refused.Description)
		}
	}
	if refused.Code == 503 {
		return fmt.Errorf("%w: %s", ErrUnavailable, refused.Description)
	}
	return errors.New(refused.Error())
}

// translateCreate is translate for a write that expects nothing under its key: a conflict means that there is something.
func translateCreate(err error) error {
	err = translate(err)
	if errors.Is(err, ErrConflict) {
		return ErrExists
	}
	return err
}

func isAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
