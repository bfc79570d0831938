package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
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

// LargestWork is the most bytes of one job on its way: JetStream's usual limit of a message, and what it adds to one.
const LargestWork = 1<<20 + 1<<10

// Queue is an app's part of the work, shared by all workers.
type Queue struct {
	stream     *Stream
	app        App
	workStream string
	puller     *puller
}

// Queue opens the app's queue, making its consumer if it is missing. Close it when the app has no work.
func (s *Stream) Queue(ctx context.Context, app App) (*Queue, error) {
	return s.LimitedQueue(ctx, app, 0)
}

// LimitedQueue is Queue for an app of whose jobs all workers together hold at most limit at a time, from now on; 0 is the usual bound.
func (s *Stream) LimitedQueue(ctx context.Context, app App, limit int) (*Queue, error) {
	if err := checkApp(app); err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	q := &Queue{stream: s, app: app, workStream: workStream(shardOf(app, s.options.Shards))}
	puller, err := s.newPuller(ctx, q.workStream, q.consumer(limit), func() { s.waker.wake(app) })
	if err != nil {
		return nil, fmt.Errorf("open queue of %s: %w", app, err)
	}
	q.puller = puller
	return q, nil
}

// Limit changes the bound of LimitedQueue, for all workers. What is held beyond a lower one may go on. Not for concurrent use with Take.
//
// A job that was returned with a delay counts as held until it is delivered again: that is how JetStream bounds a consumer. What is not to
// hold a place while it waits has to wait elsewhere (EnqueueLater).
func (q *Queue) Limit(ctx context.Context, limit int) error {
	q.puller.config.MaxAckPending = boundOf(limit)
	if err := q.puller.makeConsumer(ctx); err != nil {
		return fmt.Errorf("limit queue of %s: %w", q.app, err)
	}
	return nil
}

func boundOf(limit int) int {
	if limit <= 0 {
		return maxHeld
	}
	return min(limit, maxHeld)
}

func (q *Queue) consumer(limit int) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name:              consumerName(q.app),
		FilterSubject:     workSubject(shardOf(q.app, q.stream.options.Shards), q.app, "*"),
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           q.stream.options.AckWait,
		MaxDeliver:        -1,
		MaxAckPending:     boundOf(limit),
		InactiveThreshold: consumerIdle,
		MemoryStorage:     inMemory(q.stream.options),
	}
}

// inMemory says where consumers live. On a work queue the acknowledgement is the deletion, so a consumer that is lost loses nothing but who
// holds what, and that work is delivered at once. In a cluster it could not elect a leader for as long as one server is away and another
// came back with its memory empty: such a vote does not count.
func inMemory(o Options) bool { return o.Replicas == 1 }

// Close ends the queue here; jobs that were taken stay valid. A job that is on its way is given back.
func (q *Queue) Close() error {
	if err := q.puller.close(); err != nil {
		return fmt.Errorf("close queue of %s: %w", q.app, err)
	}
	return nil
}

// Empty reports whether the app has no work at all, neither waiting nor held by any worker. While it has, somebody must stay to take
// over what a dead worker holds.
func (q *Queue) Empty(ctx context.Context) (bool, error) {
	info, err := q.info(ctx)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return q.emptyStream(ctx)
	case err != nil:
		return false, fmt.Errorf("look for work of %s: %w", q.app, translate(ctx, err))
	}
	return info.NumPending == 0 && info.NumAckPending == 0, nil
}

// Waiting answers how many jobs nobody has taken yet, as this process learned it last: with every job that is taken, and by Count.
func (q *Queue) Waiting() int { return int(q.puller.waiting.Load()) }

// Count asks how many jobs nobody has taken yet. It may be called at any time.
func (q *Queue) Count(ctx context.Context) (int, error) {
	info, err := q.info(ctx)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return q.Waiting(), nil // it is made again by who takes next
	case err != nil:
		return 0, fmt.Errorf("count work of %s: %w", q.app, translate(ctx, err))
	}
	q.puller.waiting.Store(int64(info.NumPending))
	return q.Waiting(), nil
}

func (q *Queue) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	waiting, done := bounded(ctx)
	defer done()
	consumer, err := q.stream.js.Consumer(waiting, q.workStream, consumerName(q.app))
	if err != nil {
		return nil, err
	}
	return consumer.CachedInfo(), nil
}

// emptyStream asks for any message of the app, as there is no consumer to say how many.
func (q *Queue) emptyStream(ctx context.Context) (bool, error) {
	message, _, err := q.stream.lastMessage(ctx, q.workStream, q.puller.config.FilterSubject)
	if err != nil {
		return false, fmt.Errorf("look for work of %s: %w", q.app, translate(ctx, err))
	}
	return message == nil, nil
}

// Take answers up to n jobs, each as soon as it is there, and ends after n, after wait, or with ctx. With a wait of 0
// it answers what is there at once. Not for concurrent use. An error is the last pair.
// A job that was taken must be ended by Ack or Return, or it comes again after AckWait. That time runs from its delivery, so the
// loop's body must not keep the next one waiting for long.
func (q *Queue) Take(ctx context.Context, n int, wait time.Duration) iter.Seq2[*Job, error] {
	return q.TakeBytes(ctx, n, 0, wait)
}

// TakeBytes is Take for jobs that have no more than so many bytes together, unless that is 0. Less than LargestWork may answer none, though
// there are some.
func (q *Queue) TakeBytes(ctx context.Context, n int, bytes int64, wait time.Duration) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		err := q.puller.take(ctx, n, bytes, wait, func(message *nats.Msg) error {
			job, err := q.job(ctx, message)
			if err == nil && !yield(job, nil) {
				err = errStopped
			}
			return err
		})
		if err != nil && ctx.Err() == nil && !errors.Is(err, errStopped) {
			yield(nil, fmt.Errorf("take work of %s: %w", q.app, err))
		}
	}
}

// job reads a message; one that is no work of ours is deleted, or it would be delivered for ever.
func (q *Queue) job(ctx context.Context, message *nats.Msg) (*Job, error) {
	job, err := newJob(q, message)
	if err != nil {
		return nil, q.puller.discard(ctx, message, err)
	}
	return job, nil
}
