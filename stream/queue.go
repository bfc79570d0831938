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

// Queue is an app's part of the work, shared by all workers.
type Queue struct {
	stream     *Stream
	app        App
	workStream string
	puller     *puller
}

// Queue opens the app's queue, making its consumer if it is missing. Close it when the app has no work.
func (s *Stream) Queue(ctx context.Context, app App) (*Queue, error) {
	if err := checkApp(app); err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	q := &Queue{stream: s, app: app, workStream: workStream(shardOf(app, s.options.Shards))}
	puller, err := s.newPuller(ctx, q.workStream, q.consumer(), func() { s.waker.wake(app) })
	if err != nil {
		return nil, fmt.Errorf("open queue of %s: %w", app, err)
	}
	q.puller = puller
	return q, nil
}

func (q *Queue) consumer() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name:              consumerName(q.app),
		FilterSubject:     workSubject(shardOf(q.app, q.stream.options.Shards), q.app, "*"),
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           q.stream.options.AckWait,
		MaxDeliver:        -1,
		MaxAckPending:     maxHeld,
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
	waiting, done := bounded(ctx)
	defer done()
	consumer, err := q.stream.js.Consumer(waiting, q.workStream, q.puller.config.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return q.emptyStream(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("look for work of %s: %w", q.app, translate(ctx, err))
	}
	info := consumer.CachedInfo()
	return info.NumPending == 0 && info.NumAckPending == 0, nil
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
	return func(yield func(*Job, error) bool) {
		err := q.puller.take(ctx, n, wait, func(message *nats.Msg) error {
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
