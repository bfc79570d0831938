package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// readBatch and readBytes bound what is read at a time. JetStream holds whole messages in memory while it tells their headers.
	readBatch = 4096
	readBytes = 16 << 20
	// readerLife is how long JetStream keeps a reader's place that is not used.
	readerLife = 30 * time.Second
	// readerLag is how long a reader waits for what is known to be there, before it begins anew.
	readerLag = 250 * time.Millisecond
	// readerTries is how often it looks in vain for what is known to be there.
	readerTries = 4
)

// errMissed says that messages were lost on their way from JetStream.
var errMissed = fmt.Errorf("%w: messages were lost on the way", ErrUnavailable)

// reader reads the headers of a stream's messages in their order, and remembers how far it came. One at a time may use it.
type reader struct {
	store  *Store
	stream jetstream.Stream
	// upTo is the sequence of the last message that was read, or is known to be gone.
	upTo uint64
	// consumer is the place in JetStream, if there is one, and given how many messages it gave.
	consumer jetstream.Consumer
	given    uint64
	// batch is how many messages are read at a time.
	batch int
}

// seen is what its headers tell of a message.
type seen struct {
	subject  string
	header   nats.Header
	sequence uint64
	stored   time.Time
}

// readTo hands all messages up to a sequence to take, some at a time. It goes on where an earlier call ended, failed or not.
func (r *reader) readTo(ctx context.Context, last uint64, take func([]seen)) error {
	for tries := 1; r.upTo < last; tries++ {
		before := r.upTo
		err := r.read(ctx, last, take)
		if err != nil {
			r.consumer = nil // A restart took it away, or what it gave was lost with a connection. A new one begins where we are.
		}
		if r.upTo > before {
			tries = 0
		}
		if ctx.Err() != nil {
			err = translate(ctx.Err())
		}
		if err != nil && (tries >= readerTries || ctx.Err() != nil) {
			return fmt.Errorf("read headers of %s: %w", r.stream.CachedInfo().Config.Name, err)
		}
	}
	return nil
}

func (r *reader) read(ctx context.Context, last uint64, take func([]seen)) error {
	if r.consumer == nil {
		if err := r.begin(ctx); err != nil {
			return err
		}
	}
	count, err := r.fetch(int(min(last-r.upTo, uint64(r.batch))), 0, take)
	if count > 0 || err != nil {
		return err
	}
	left, err := r.isLeft(ctx, last)
	if err != nil {
		return err
	}
	if !left {
		r.upTo = last
		return nil
	}
	// JetStream tells its consumers a moment after it has acknowledged.
	if count, err = r.fetch(1, readerLag, take); count == 0 && err == nil {
		err = errMissed
	}
	return err
}

func (r *reader) begin(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	consumer, err := r.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.upTo + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: readerLife,
	})
	if err != nil {
		return translate(err)
	}
	info, err := r.stream.Info(ctx)
	if err != nil {
		return translate(err)
	}
	r.consumer, r.given = consumer, 0
	average := info.State.Bytes/max(info.State.Msgs, 1) + 1
	r.batch = int(min(max(readBytes/average, 1), readBatch))
	return nil
}

// fetch answers how many messages came; those before an error count.
func (r *reader) fetch(most int, wait time.Duration, take func([]seen)) (int, error) {
	batch, err := r.request(most, wait)
	if err != nil {
		return 0, translate(err)
	}
	came := make([]seen, 0, most)
	for message := range batch.Messages() {
		next, err := r.see(message)
		if err != nil {
			r.take(came, take)
			return len(came), err
		}
		came = append(came, next)
	}
	r.take(came, take)
	return len(came), translate(batch.Error())
}

func (r *reader) request(most int, wait time.Duration) (jetstream.MessageBatch, error) {
	if wait == 0 {
		return r.consumer.FetchNoWait(most)
	}
	return r.consumer.Fetch(most, jetstream.FetchMaxWait(wait))
}

// see finds out if a message was lost before this one: JetStream numbers what a consumer gives.
func (r *reader) see(message jetstream.Msg) (seen, error) {
	place, err := message.Metadata()
	if err != nil {
		return seen{}, translate(err)
	}
	if r.given++; place.Sequence.Consumer != r.given {
		return seen{}, errMissed
	}
	return seen{message.Subject(), message.Headers(), place.Sequence.Stream, place.Timestamp}, nil
}

func (r *reader) take(came []seen, take func([]seen)) {
	if len(came) > 0 {
		take(came)
		r.upTo = came[len(came)-1].sequence
	}
}

// isLeft reports whether a message that was not read is there: all may have been replaced, or have expired.
func (r *reader) isLeft(ctx context.Context, last uint64) (bool, error) {
	next, err := r.store.messageOfLeader(ctx, r.stream, request{NextFor: ">", Sequence: r.upTo + 1})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && next.Sequence <= last, err
}
