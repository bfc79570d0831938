package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// confirmWait is how long JetStream is given to confirm the end of a delivery.
const confirmWait = 2 * time.Second

// Job is work in the hands of this worker.
type Job struct {
	Work
	// Delivered counts deliveries by JetStream, from 1; it forgets with the consumer.
	Delivered int
	// Stored is when the work was enqueued.
	Stored time.Time

	queue *Queue
	// reply is where JetStream hears of this delivery, sequence where the work is stored.
	reply    string
	sequence uint64
}

func newJob(q *Queue, message *nats.Msg) (*Job, error) {
	work, err := decodeWork(message)
	if err != nil {
		return nil, err
	}
	delivery, err := message.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read delivery of %s: %w", work.Execution, err)
	}
	q.puller.waiting.Store(int64(delivery.NumPending))
	return &Job{
		Work:      work,
		Delivered: int(delivery.NumDelivered),
		Stored:    delivery.Timestamp,
		queue:     q,
		reply:     message.Reply,
		sequence:  delivery.Sequence.Stream,
	}, nil
}

// Renew restarts the acknowledgement wait.
func (j *Job) Renew() error {
	if err := j.queue.stream.conn.Publish(j.reply, []byte("+WPI")); err != nil {
		return fmt.Errorf("renew %s: %w", j.Execution, translate(context.Background(), err))
	}
	return nil
}

// Ack deletes the work and returns once JetStream has confirmed it.
func (j *Job) Ack(ctx context.Context) error {
	err := j.answer(ctx, []byte("+ACK"))
	if err != nil && ctx.Err() == nil {
		err = j.remove(ctx)
	}
	if err != nil {
		return fmt.Errorf("acknowledge %s: %w", j.Execution, translate(ctx, err))
	}
	return nil
}

// remove deletes the work itself. The consumer that knew of the delivery may be gone, and one that took its place and has
// not given the work out yet says nothing to an acknowledgement.
func (j *Job) remove(ctx context.Context) error {
	return j.queue.stream.deleteMessage(ctx, j.queue.workStream, j.sequence)
}

// Return gives the work back, to be delivered after delay, and returns once JetStream has confirmed it.
func (j *Job) Return(ctx context.Context, delay time.Duration) error {
	err := j.answer(ctx, nak(delay))
	// Without its consumer the work waits already, and is delivered to who asks first.
	if err != nil && !errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("return %s: %w", j.Execution, translate(ctx, err))
	}
	if delay <= 0 {
		// A worker that is stopping gives back what others have no taker for.
		j.queue.stream.waker.wake(j.App)
	}
	return nil
}

// answer tells JetStream how the delivery ended and waits for its confirmation.
func (j *Job) answer(ctx context.Context, verb []byte) error {
	waiting, done := context.WithTimeout(ctx, confirmWait)
	defer done()
	_, err := j.queue.stream.conn.RequestWithContext(waiting, j.reply, verb)
	return err
}

func nak(delay time.Duration) []byte {
	if delay <= 0 {
		return []byte("-NAK")
	}
	return []byte(`-NAK {"delay":` + strconv.FormatInt(delay.Nanoseconds(), 10) + `}`)
}
