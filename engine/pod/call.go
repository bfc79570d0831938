package pod

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// Why we ended a call ourselves, besides its clocks and the caller's context.
var (
	errOutOfService = errors.New("it went out of service")
	errSentTwice    = errors.New("it hung up after it had been sent the call")
	errFinished     = errors.New("the call is over")
)

// call is one request on its way: what may end it early, and how far it came. It lives until finish.
type call struct {
	pod    string
	cancel context.CancelCauseFunc
	cause  func() error
	upload *upload

	total, firstByte, idle *clock
	// watched is closed when nobody listens to OutOfService any more.
	watched chan struct{}
	finish  func()

	mu   sync.Mutex
	conn *conn // that net/http chose, nil before
}

// begin starts the clocks and answers the context that the request must carry.
func begin(ctx context.Context, t Target, clocks Clocks) (context.Context, *call) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{
		pod:       t.Pod,
		cancel:    cancel,
		cause:     func() error { return context.Cause(ctx) },
		total:     newClock(ClockTotal, clocks.Total, cancel),
		firstByte: newClock(ClockFirstByte, clocks.FirstByte, cancel),
		idle:      newClock(ClockIdle, clocks.Idle, cancel),
		watched:   make(chan struct{}),
	}
	c.finish = sync.OnceFunc(c.end)
	c.total.start()
	c.firstByte.start()
	if t.OutOfService == nil {
		close(c.watched)
	} else {
		go c.watch(ctx, t.OutOfService)
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: c.gotConn}), c
}

func (c *call) watch(ctx context.Context, outOfService <-chan struct{}) {
	defer close(c.watched)
	select {
	case <-outOfService:
		c.cancel(errOutOfService)
	case <-ctx.Done():
	}
}

// end lets go of everything that the call holds. Nothing begins to read the request's body afterwards.
func (c *call) end() {
	c.total.stop()
	c.firstByte.stop()
	c.idle.stop()
	c.cancel(errFinished)
	if c.upload != nil {
		c.upload.Close()
	}
	<-c.watched
}

// gotConn hears of every connection that net/http tries. It tries again with another after some failures of a kept one,
// also when the pod may have had an idempotent request; a pod must not see a call twice, so this stops it.
func (c *call) gotConn(info httptrace.GotConnInfo) {
	next, ok := info.Conn.(*conn)
	if !ok {
		return
	}
	if c.sent() {
		c.cancel(errSentTwice)
		next.seal()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = next
	next.take()
}

// sent reports whether any byte of the call may have reached the pod, and lets no more out.
func (c *call) sent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil && c.conn.seal()
}

// failed translates why there is no head of an answer.
func (c *call) failed(err error) error {
	sentinel := ErrUnreachable
	if c.sent() {
		sentinel = ErrBroken
	}
	return c.translate(sentinel, err)
}

// translate finds the reason behind err, which is often only that the connection was closed under it.
func (c *call) translate(sentinel, err error) error {
	switch cause := c.cause(); {
	case errors.Is(cause, errOutOfService), errors.Is(cause, errSentTwice):
		return fmt.Errorf("call pod %s: %w: %w", c.pod, sentinel, cause)
	case errors.Is(cause, errFinished):
		return fmt.Errorf("call pod %s: %w", c.pod, err)
	case cause != nil:
		return fmt.Errorf("call pod %s: %w", c.pod, cause)
	}
	if own := c.upload.failure(); own != nil {
		return fmt.Errorf("call pod %s: read the request's body: %w", c.pod, own)
	}
	return fmt.Errorf("call pod %s: %w: %w", c.pod, sentinel, err)
}

// unasked reports answers that no pod may give to what we send.
func unasked(response *http.Response) error {
	if response.StatusCode == http.StatusSwitchingProtocols {
		return errors.New("it switched protocols unasked")
	}
	return nil
}
