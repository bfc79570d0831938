package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxHeld bounds the jobs of one app that all workers together hold.
	maxHeld = 4096
	// consumerIdle is how long a consumer outlives the last worker that asked it. It is short, because each
	// consumer makes every acknowledgement of its shard dearer, and making one costs a millisecond.
	consumerIdle = 20 * time.Second
)

// Queue is an app's part of the work, shared by all workers.
type Queue struct {
	stream     *Stream
	app        App
	workStream string
	consumer   string
	// inbox begins the subjects on which JetStream says how a pull ended. The jobs come through the same
	// subscription, under the subjects that they were enqueued with.
	inbox string
	sub   *nats.Subscription

	mu    sync.Mutex
	pulls uint64
	// pull is the one under way.
	pull *pull
}

// Queue opens the app's queue, making its consumer if it is missing. Close it when the app has no work.
func (s *Stream) Queue(ctx context.Context, app App) (*Queue, error) {
	if err := checkApp(app); err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	inbox := s.conn.NewInbox()
	q := &Queue{
		stream:     s,
		app:        app,
		workStream: workStream(shardOf(app, s.options.Shards)),
		consumer:   consumerName(app),
		inbox:      inbox + ".",
	}
	if err := q.makeConsumer(ctx); err != nil {
		return nil, err
	}
	sub, err := s.conn.Subscribe(inbox+".*", q.receive)
	if err != nil {
		return nil, fmt.Errorf("open queue of %s: %w", app, translate(ctx, err))
	}
	// The server sends no more than a pull asked for, so a further bound could only lose jobs until AckWait.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("open queue of %s: %w", app, translate(ctx, err))
	}
	q.sub = sub
	return q, nil
}

func (q *Queue) makeConsumer(ctx context.Context) error {
	waiting, done := bounded(ctx)
	defer done()
	_, err := q.stream.js.CreateOrUpdateConsumer(waiting, q.workStream, jetstream.ConsumerConfig{
		Name:              q.consumer,
		FilterSubject:     workSubject(shardOf(q.app, q.stream.options.Shards), q.app, "*"),
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           q.stream.options.AckWait,
		MaxDeliver:        -1,
		MaxAckPending:     maxHeld,
		InactiveThreshold: consumerIdle,
		// In memory: on a work queue the acknowledgement is the deletion, so a consumer that is lost loses
		// nothing but who holds what, and that work is delivered at once.
		MemoryStorage: true,
	})
	if err != nil {
		return fmt.Errorf("make consumer for %s: %w", q.app, translate(ctx, err))
	}
	return nil
}

// Close ends the queue here; jobs that were taken stay valid. A job that is on its way is given back.
func (q *Queue) Close() error {
	// Drain takes what the server sent before it heard of the end; receive gives it back.
	if err := q.sub.Drain(); err != nil {
		return fmt.Errorf("close queue of %s: %w", q.app, translate(context.Background(), err))
	}
	return nil
}

// Empty reports whether the app has no work at all, neither waiting nor held by any worker. While it has, somebody must stay to take
// over what a dead worker holds.
func (q *Queue) Empty(ctx context.Context) (bool, error) { panic("being written") }

// Take answers up to n jobs, each as soon as it is there, and ends after n, after wait, or with ctx. With a wait of 0
// it answers what is there at once. Not for concurrent use. An error is the last pair.
// A job that was taken must be ended by Ack or Return, or it comes again after AckWait. That time runs from its delivery, so the
// loop's body must not keep the next one waiting for long.
func (q *Queue) Take(ctx context.Context, n int, wait time.Duration) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		deadline := time.Now().Add(wait)
		for n > 0 {
			taken, err := q.take(ctx, n, time.Until(deadline), yield)
			n -= taken
			switch {
			case errors.Is(err, errUnreadable):
				err = nil
			case errors.Is(err, errNoConsumer):
				err = q.makeConsumer(ctx)
			}
			if err != nil {
				q.finish(ctx, err, yield)
				return
			}
		}
	}
}

// finish yields an error that the caller has to know of.
func (q *Queue) finish(ctx context.Context, err error, yield func(*Job, error) bool) {
	if ctx.Err() != nil || errors.Is(err, errOver) || errors.Is(err, errStopped) {
		return
	}
	yield(nil, fmt.Errorf("take work of %s: %w", q.app, err))
}

// take makes one pull and answers how many jobs it yielded and why it ended.
func (q *Queue) take(ctx context.Context, n int, wait time.Duration, yield func(*Job, error) bool) (int, error) {
	p := q.begin(n)
	defer q.end(p)
	lost := q.stream.whenReconnected()
	if err := q.request(ctx, p, n, wait); err != nil {
		return 0, err
	}
	over := time.NewTimer(max(wait, 0) + lateEnd)
	defer over.Stop()
	for taken := 0; taken < n; {
		message, err := p.next(ctx, lost, over.C)
		if err != nil {
			return taken, err
		}
		job, err := q.job(ctx, message)
		if err != nil {
			return taken, err
		}
		taken++
		if !yield(job, nil) {
			return taken, errStopped
		}
	}
	return n, nil
}

func (q *Queue) begin(n int) *pull {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pulls++
	q.pull = &pull{
		reply: q.inbox + strconv.FormatUint(q.pulls, 10),
		jobs:  make(chan *nats.Msg, n),
		ended: make(chan *nats.Msg, 1),
	}
	return q.pull
}

// end gives back what came and was not yielded.
func (q *Queue) end(p *pull) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pull = nil
	for len(p.jobs) > 0 {
		q.giveBack(<-p.jobs)
	}
}

// receive runs on the subscription's goroutine, in the order in which JetStream sent. A job that no pull has room
// for, because its Take has ended, is given back at once and not after AckWait.
func (q *Queue) receive(message *nats.Msg) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if strings.HasPrefix(message.Subject, q.inbox) {
		if q.pull != nil && q.pull.reply == message.Subject {
			trySend(q.pull.ended, message)
		}
		return
	}
	if q.pull == nil || !trySend(q.pull.jobs, message) {
		q.giveBack(message)
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
func (q *Queue) giveBack(message *nats.Msg) { _ = q.stream.conn.Publish(message.Reply, nak(0)) }

// job reads a message; one that is no work of ours is deleted, or it would be delivered for ever.
func (q *Queue) job(ctx context.Context, message *nats.Msg) (*Job, error) {
	job, err := newJob(q, message)
	if err == nil {
		return job, nil
	}
	q.stream.options.Logger.LogAttrs(ctx, slog.LevelError, "work that cannot be read is deleted",
		slog.String("app", q.app.String()), slog.String("subject", message.Subject), slog.Any("error", err))
	if err := q.stream.conn.Publish(message.Reply, []byte("+TERM")); err != nil {
		return nil, translate(ctx, err)
	}
	return nil, errUnreadable
}
