package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestTranslate(t *testing.T) {
	t.Parallel()
	refused := func(status int, code jetstream.ErrorCode, text string) error {
		return fmt.Errorf("nats: %w", &jetstream.APIError{Code: status, ErrorCode: code, Description: text})
	}
	for _, test := range []struct{ err, want error }{
		{jetstream.ErrKeyNotFound, ErrNotFound},
		{jetstream.ErrObjectNotFound, ErrNotFound},
		{jetstream.ErrMsgNotFound, ErrNotFound},
		{refused(400, 10071, "wrong last sequence: 3"), ErrConflict},
		{refused(400, 10164, "wrong last sequence"), ErrConflict},
		{refused(503, 10077, "maximum bytes exceeded"), ErrFull},
		{refused(503, 10077, "input/output error"), ErrUnavailable},
		{refused(503, 10023, "insufficient resources"), ErrFull},
		{refused(500, 10047, "insufficient storage resources available"), ErrFull},
		{refused(400, 10054, "message size exceeds maximum allowed"), ErrTooLarge},
		{refused(503, 10008, "system temporarily unavailable"), ErrUnavailable},
		{nats.ErrMaxPayload, ErrTooLarge},
		{nats.ErrTimeout, ErrUnavailable},
		{nats.ErrNoResponders, ErrUnavailable},
		{nats.ErrConnectionClosed, ErrUnavailable},
		{jetstream.ErrNoStreamResponse, ErrUnavailable},
		{context.DeadlineExceeded, ErrUnavailable},
		{context.DeadlineExceeded, context.DeadlineExceeded},
		{context.Canceled, context.Canceled},
	} {
		if got := translate(test.err); !errors.Is(got, test.want) {
			t.Errorf("%v became %v, want %v", test.err, got, test.want)
		}
	}
	if err := translate(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
	if err := translateCreate(refused(400, 10071, "wrong last sequence: 3")); !errors.Is(err, ErrExists) {
		t.Errorf("a conflict of a creation became %v", err)
	}
}

// Callers must not come to depend on errors of NATS.
func TestTranslateLetsNothingThrough(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		jetstream.ErrKeyNotFound, nats.ErrTimeout, nats.ErrMaxPayload, nats.ErrBadSubject,
		&jetstream.APIError{Code: 503, ErrorCode: 10077}, &jetstream.APIError{Code: 400, ErrorCode: 10003},
	} {
		if got := translate(err); errors.Is(got, err) {
			t.Errorf("%v is still itself as %v", err, got)
		}
	}
}

func TestHostTakenError(t *testing.T) {
	t.Parallel()
	err := &HostTakenError{Host: "a-b-c", Owner: AppRef{"c", "a-b"}, Port: 80, For: AppRef{"b-c", "a"}, ForPort: 80}
	if want := "host a-b-c of port 80 of app b-c/a belongs to port 80 of app c/a-b: host name taken"; err.Error() != want {
		t.Errorf("error reads %q, want %q", err.Error(), want)
	}
	if !errors.Is(err, ErrHostTaken) {
		t.Error("it is no ErrHostTaken")
	}
}
