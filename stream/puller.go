package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// drainWait bounds how long closing a puller waits for what is on its way to it.
const drainWait = 2 * time.Second

// puller takes messages from one consumer, which all processes share and whoever misses it makes again.
type puller struct {
	stream *Stream
	from   string
	config jetstream.ConsumerConfig
	// inbox begins the subjects on which JetStream says how a pull ended. The messages come through the same
	// subscription, under the subjects that they were stored with.
	inbox string
	sub   *nats.Subscription
	// waiting is how many messages JetStream had last that it has not given to anybody yet.
	waiting atomic.Int64

	mu    sync.Mutex
	pulls uint64
	// pull is the one under way.
	pull *pull
	// returned is called, under mu, after a message was given back.
	returned func()
}

// newPuller makes the consumer if it is missing; the caller closes the puller. A message that comes when nobody takes is given back.
func (s *Stream) newPuller(ctx context.Context, from string, config jetstream.ConsumerConfig, returned func()) (*puller, error) {
	inbox := s.conn.NewInbox()
	p := &puller{stream: s, from: from, config: config, inbox: inbox + ".", returned: returned}
	if err := p.makeConsumer(ctx); err != nil {
		return nil, err
	}
	sub, err := s.conn.Subscribe(inbox+".*", p.receive)
	if err != nil {
		return nil, translate(ctx, err)
	}
	// The server sends no more than a pull asked for, so a further bound could only lose messages until the consumer's AckWait.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, translate(ctx, err)
	}
	p.sub = sub
	return p, nil
}

func (p *puller) makeConsumer(ctx context.Context) error {
	waiting, done := bounded(ctx)
	defer done()
	consumer, err := p.stream.js.CreateOrUpdateConsumer(waiting, p.from, p.config)
	if err != nil {
		return fmt.Errorf("make consumer %s: %w", p.config.Name, translate(ctx, err))
	}
	p.waiting.Store(int64(consumer.CachedInfo().NumPending))
	return nil
}

// close takes what the server sent before it heard of the end, which receive gives back. On return the server has it: if the
// connection is closed next, nothing has to wait for AckWait.
func (p *puller) close() error {
	if !p.stream.conn.IsConnected() {
		return translate(context.Background(), p.sub.Unsubscribe())
	}
	waiting, done := context.WithTimeout(context.Background(), drainWait)
	defer done()
	ended := p.sub.StatusChanged(nats.SubscriptionClosed)
	if err := p.sub.Drain(); err != nil {
		return translate(waiting, err)
	}
	select {
	case <-ended:
	case <-waiting.Done():
		return fmt.Errorf("%w: still draining", ErrUnavailable)
	}
	return translate(waiting, p.stream.conn.FlushWithContext(waiting))
}

// take gives up to n messages to give, each as soon as it is there, and ends after n, after so many bytes unless that is 0, after wait,
// with ctx or with give's first error. errUnreadable of give is none: the message does not count. Not for concurrent use.
func (p *puller) take(ctx context.Context, n int, bytes int64, wait time.Duration, give func(*nats.Msg) error) error {
	deadline := time.Now().Add(wait)
	for n > 0 {
		given, err := p.takeOnce(ctx, n, bytes, time.Until(deadline), give)
		n -= given
		switch {
		case errors.Is(err, errOver):
			return nil
		case errors.Is(err, errUnreadable):
			err = nil
		case errors.Is(err, errNoConsumer):
			err = p.makeConsumer(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeOnce makes one pull and answers how many messages it gave and why it ended.
func (p *puller) takeOnce(ctx context.Context, n int, bytes int64, wait time.Duration, give func(*nats.Msg) error) (int, error) {
	pull := p.begin(n)
	defer p.end(pull)
	lost := p.stream.whenReconnected()
	if err := p.request(ctx, pull, n, bytes, wait); err != nil {
		return 0, err
	}
	over := time.NewTimer(max(wait, 0) + lateEnd)
	defer over.Stop()
	for given := range n {
		message, err := pull.next(ctx, lost, over.C)
		if err != nil {
			return given, err
		}
		if err := give(message); err != nil {
			return given, err
		}
	}
	return n, nil
}

func (p *puller) begin(n int) *pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulls++
	p.pull = &pull{
		reply: p.inbox + strconv.FormatUint(p.pulls, 10),
		jobs:  make(chan *nats.Msg, n),
		ended: make(chan *nats.Msg, 1),
	}
	return p.pull
}

// end gives back what came and was not given to anybody.
func (p *puller) end(pull *pull) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pull = nil
	for len(pull.jobs) > 0 {
		p.giveBack(<-pull.jobs)
	}
}

// receive runs on the subscription's goroutine, in the order in which JetStream sent. A message that no pull has room
// for, because its take has ended, is given back at once and not after AckWait.
func (p *puller) receive(message *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.HasPrefix(message.Subject, p.inbox) {
		if p.pull != nil && p.pull.reply == message.Subject {
			trySend(p.pull.ended, message)
		}
		return
	}
	if p.pull == nil || !trySend(p.pull.jobs, message) {
		p.giveBack(message)
	}
}

func trySend(to chan<- *nats.Msg, message *nats.Msg) bool {
	select {
	case to <- message:
		return true
	default:
		return false
	}
}

// giveBack drops the error: what does not arrive comes again after AckWait.
func (p *puller) giveBack(message *nats.Msg) {
	_ = p.stream.conn.Publish(message.Reply, nak(0))
	p.returned()
}

// discard deletes a message that cannot be read, or it would be delivered for ever. It answers errUnreadable.
func (p *puller) discard(ctx context.Context, message *nats.Msg, cause error) error {
	p.stream.options.Logger.LogAttrs(ctx, slog.LevelError, "work that cannot be read is deleted",
		slog.String("subject", message.Subject), slog.Any("error", cause))
	if err := p.stream.conn.Publish(message.Reply, []byte("+TERM")); err != nil {
		return translate(ctx, err)
	}
	return errUnreadable
}
