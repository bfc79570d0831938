package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// lateEnd is how long take waits for JetStream to say that the time is over before it says so itself.
const lateEnd = time.Second

// pull is one request for messages.
type pull struct {
	reply string
	// jobs has room for all that was asked for; ended for the one message that says how it ended.
	jobs  chan *nats.Msg
	ended chan *nats.Msg
}

var (
	// errOver ends a take whose time is over.
	errOver = errors.New("time is over")
	// errNoConsumer says that the consumer is gone: it was idle, or the server restarted.
	errNoConsumer = errors.New("consumer is gone")
	// errUnreadable says that a message was no work of ours, and that a pull has one place less for it.
	errUnreadable = errors.New("work cannot be read")
	// errStopped says that the caller has left the loop.
	errStopped = errors.New("caller stopped")
)

// request asks for n messages, and no more bytes than that; the answers come to receive.
func (p *puller) request(ctx context.Context, pull *pull, n int, bytes int64, wait time.Duration) error {
	type pullRequest struct {
		Batch    int           `json:"batch"`
		MaxBytes int64         `json:"max_bytes,omitempty"`
		Expires  time.Duration `json:"expires,omitempty"`
		NoWait   bool          `json:"no_wait,omitempty"`
	}
	data, err := json.Marshal(pullRequest{Batch: n, MaxBytes: bytes, Expires: max(wait, 0), NoWait: wait <= 0})
	if err != nil {
		return fmt.Errorf("encode pull: %w", err)
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + p.from + "." + p.config.Name
	return translate(ctx, p.stream.conn.PublishRequest(subject, pull.reply, data))
}

// next answers the next message, or why there is none.
func (p *pull) next(ctx context.Context, lost <-chan struct{}, over <-chan time.Time) (*nats.Msg, error) {
	select {
	case message := <-p.jobs:
		return message, nil
	case status := <-p.ended:
		return p.afterEnd(status)
	case <-lost:
		return nil, fmt.Errorf("%w: connection was lost", ErrUnavailable)
	case <-over:
		return nil, errOver
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// afterEnd answers the messages that were sent before the end.
func (p *pull) afterEnd(status *nats.Msg) (*nats.Msg, error) {
	select {
	case message := <-p.jobs:
		p.ended <- status
		return message, nil
	default:
		return nil, pullEnd(status)
	}
}

// pullEnd says why JetStream ended a pull.
func pullEnd(status *nats.Msg) error {
	code, text := status.Header.Get("Status"), status.Header.Get("Description")
	switch {
	case code == "404", code == "408", code == "409" && text == "Message Size Exceeds MaxBytes":
		return errOver
	case code == "503", code == "409" && strings.EqualFold(text, "Consumer Deleted"):
		return errNoConsumer
	}
	return fmt.Errorf("%w: pull ended with %s %s", ErrUnavailable, code, text)
}
