package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// moveAtOnce bounds what one process moves at a time, and moveWait how long one question for what is due lasts.
	moveAtOnce = 64
	moveWait   = 10 * time.Second
	// moverWait is how long due work stays with a process that says nothing; moving takes milliseconds.
	moverWait = 10 * time.Second
	// moveAgain is when work is tried again that the queue did not take.
	moveAgain = time.Second
	// movedHeader says where due work was stored before it was moved.
	movedHeader = "Ignite-Due"
)

// MoveDue enqueues work whose time has come, until ctx ends. Any number of processes may do it; each message is moved by one of them,
// and again by another if that one dies. While the execution's earlier work is still in the queue, due work waits: that work may be
// acknowledged any moment, and must not take the new one with it. An error says why it stopped; begin it again.
func (s *Stream) MoveDue(ctx context.Context) error {
	due, err := s.newPuller(ctx, laterStream, moverConfig(s.options), func() {})
	if err == nil {
		err = errors.Join(s.moveAll(ctx, due), due.close())
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("move due work: %w", err)
}

func moverConfig(o Options) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name:          moverConsumer,
		FilterSubject: allDue,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       min(moverWait, o.AckWait),
		MaxDeliver:    -1,
		// No bound: due work that was given back since its shard is full must not keep the work of others.
		MaxAckPending:     -1,
		InactiveThreshold: time.Minute,
		MemoryStorage:     inMemory(o),
	}
}

// moveAll ends with ctx or an error, once nothing is being moved any longer.
func (s *Stream) moveAll(ctx context.Context, due *puller) error {
	// What is being moved when ctx ends is moved still.
	moved := context.WithoutCancel(ctx)
	for {
		var moving sync.WaitGroup
		err := due.take(ctx, moveAtOnce, 0, moveWait, func(message *nats.Msg) error {
			moving.Go(func() { s.move(moved, due, message) })
			return nil
		})
		moving.Wait()
		if err != nil {
			return err
		}
		select {
		case <-s.closing:
			return ErrClosed
		default:
		}
	}
}

// move puts one message into the queue, or leaves it where it is, to be tried again.
func (s *Stream) move(ctx context.Context, due *puller, message *nats.Msg) {
	moved, err := s.enqueueDue(ctx, message)
	switch {
	case errors.Is(err, ErrInvalid):
		_ = due.discard(ctx, message, err)
		return
	case err != nil:
		s.options.Logger.LogAttrs(ctx, slog.LevelDebug, "due work is not moved to the queue yet",
			slog.String("subject", message.Subject), slog.Any("error", err))
	}
	verb := nak(moveAgain)
	if moved {
		verb = []byte("+ACK")
	}
	// What does not arrive comes again after AckWait, and is recognised by its mark as long as it waits.
	_ = s.conn.Publish(message.Reply, verb)
}

// enqueueDue reports whether the work is in the queue now.
func (s *Stream) enqueueDue(ctx context.Context, message *nats.Msg) (bool, error) {
	work, err := decodeWork(message)
	if err != nil {
		return false, err
	}
	delivery, err := message.Metadata()
	if err != nil {
		return false, fmt.Errorf("%w: %s is no delivery", ErrInvalid, message.Reply)
	}
	mark := strconv.FormatUint(delivery.Sequence.Stream, 10)
	stored, err := s.store(ctx, work, mark)
	if err != nil || stored {
		return stored, err
	}
	return s.isMoved(ctx, work, mark)
}

// isMoved reports whether what is in the queue is this very work, whose first mover died before it could say so.
func (s *Stream) isMoved(ctx context.Context, work Work, mark string) (bool, error) {
	shard := shardOf(work.App, s.options.Shards)
	there, _, err := s.lastMessage(ctx, workStream(shard), workSubject(shard, work.App, work.Execution))
	if err != nil || there == nil {
		return false, translate(ctx, err)
	}
	return there.Header.Get(movedHeader) == mark, nil
}
