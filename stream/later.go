package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	scheduleHeader = "Nats-Schedule"
	targetHeader   = "Nats-Schedule-Target"
	// latestYear is the last one whose times JetStream can compare.
	latestYear = 2261
)

func laterConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              laterStream,
		Description:       "executions that wait for their time",
		Subjects:          []string{allLater},
		Retention:         jetstream.WorkQueuePolicy,
		Discard:           jetstream.DiscardOld, // with schedules JetStream has no other
		MaxBytes:          maxLaterBytes(o),
		MaxMsgsPerSubject: 1,
		AllowMsgSchedules: true,
		Replicas:          o.Replicas,
		Storage:           jetstream.FileStorage,
		Duplicates:        duplicates,
	}
}

func maxLaterBytes(o Options) int64 { return max(o.MaxWorkBytes/2, 1) }

// EnqueueLater stores w until due, in place of what is stored for the execution so already; then MoveDue of some process enqueues it.
// Acknowledged but not synced on return. ErrFull if there is no room: unlike the queue, this stream cannot refuse by itself, so a part of it is
// kept from new executions and left to those that wait for their next attempt, for which again says true.
func (s *Stream) EnqueueLater(ctx context.Context, w Work, due time.Time, again bool) error {
	if err := w.check(); err != nil {
		return fmt.Errorf("enqueue for later: %w", err)
	}
	if due.UTC().Year() > latestYear {
		return fmt.Errorf("enqueue %s for later: %w: due %s", w.Execution, ErrInvalid, due)
	}
	if err := s.enqueueLater(ctx, w, due, again); err != nil {
		return fmt.Errorf("enqueue %s for later: %w", w.Execution, err)
	}
	return nil
}

func (s *Stream) enqueueLater(ctx context.Context, w Work, due time.Time, again bool) error {
	message := encodeWork(w, scheduleSubject(w.Execution))
	// The library's own option cuts off fractions of a second, so that work would come too early.
	message.Header[scheduleHeader] = []string{"@at " + due.UTC().Format(time.RFC3339Nano)}
	message.Header[targetHeader] = []string{dueSubject(w.App, w.Execution)}
	if err := s.room.take(ctx, sizeOf(message), again); err != nil {
		return err
	}
	return translate(ctx, s.publish(ctx, message))
}

// sizeOf is at least what a message takes on disk.
func sizeOf(message *nats.Msg) int64 {
	const overhead = 64
	size := overhead + len(message.Subject) + len(message.Data)
	for key, values := range message.Header {
		for _, value := range values {
			size += len(key) + len(value) + len(": \r\n")
		}
	}
	return int64(size)
}

func (s *Stream) laterBytes(ctx context.Context) (int64, error) {
	answer, err := s.state(ctx, laterStream, "")
	return int64(answer.State.Bytes), err
}

// IsLater reports whether the execution waits for its time, or is due and not moved yet.
func (s *Stream) IsLater(ctx context.Context, execution string) (bool, error) {
	if err := checkExecution(execution); err != nil {
		return false, fmt.Errorf("look for work that is due later: %w", err)
	}
	count, err := s.countSubjects(ctx, laterStream, laterSubjects(execution))
	if err != nil {
		return false, fmt.Errorf("look for %s among what is due later: %w", execution, translate(ctx, err))
	}
	return count > 0, nil
}

// Remove deletes the execution's work, waiting, held or for later. It is for an execution that has ended; a Job that is held stays valid.
func (s *Stream) Remove(ctx context.Context, app App, execution string) error {
	if err := checkWork(app, execution); err != nil {
		return fmt.Errorf("remove work: %w", err)
	}
	if err := s.remove(ctx, app, execution); err != nil {
		return fmt.Errorf("remove work of %s: %w", execution, translate(ctx, err))
	}
	return nil
}

// remove begins where work comes from: what has just been moved to the queue is found there.
func (s *Stream) remove(ctx context.Context, app App, execution string) error {
	if _, err := s.deleteSubject(ctx, laterStream, laterSubjects(execution)); err != nil {
		return err
	}
	shard := shardOf(app, s.options.Shards)
	_, err := s.deleteSubject(ctx, workStream(shard), workSubject(shard, app, execution))
	return err
}
