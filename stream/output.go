package stream

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Chunk is a piece of an execution's output.
type Chunk struct {
	Execution string
	Attempt   uint32
	// Index counts from 0 within the attempt.
	Index int64
	Data  []byte
	// Expires is when it goes away, not before the execution's record does. Zero is when the Stream's Retention is over.
	Expires time.Time
}

// MaxChunk is the largest chunk in bytes.
const MaxChunk = 256 << 10

const indexHeader = "Ignite-Index"

// PublishChunk appends a piece of output, at most MaxChunk bytes. Acknowledged but not synced on return.
// A repetition of the same attempt and index may be stored, but no watcher gets it twice.
func (s *Stream) PublishChunk(ctx context.Context, c Chunk) error {
	if err := checkExecution(c.Execution); err != nil {
		return fmt.Errorf("publish chunk: %w", err)
	}
	if len(c.Data) > MaxChunk {
		return fmt.Errorf("publish chunk %d of %s: %w: %d bytes", c.Index, c.Execution, ErrTooLarge, len(c.Data))
	}
	if c.Expires.IsZero() {
		c.Expires = time.Now().Add(s.options.Retention)
	}
	err := s.publish(ctx, &nats.Msg{
		Subject: outputSubject(c.Execution, c.Attempt),
		Header:  nats.Header{indexHeader: {strconv.FormatInt(c.Index, 10)}},
		Data:    c.Data,
	}, expiry(c.Expires))
	if err != nil {
		return fmt.Errorf("publish chunk %d of %s: %w", c.Index, c.Execution, translate(ctx, err))
	}
	return nil
}

// OutputChunks answers how many chunks an attempt has published so far.
func (s *Stream) OutputChunks(ctx context.Context, execution string, attempt uint32) (int64, error) {
	last, found, err := s.reader.last(ctx, execution, attempt)
	if err != nil {
		return 0, fmt.Errorf("count the chunks of %s: %w", execution, translate(ctx, err))
	}
	if !found {
		return 0, nil
	}
	return last.chunk.Index + 1, nil
}

// stored is a chunk and its place in the stream.
type stored struct {
	chunk    *Chunk
	sequence uint64
}

// parseStored reads a chunk from its headers, in the form that both the stream and its republishing give them.
func parseStored(execution string, attempt uint32, header nats.Header, data []byte) (stored, error) {
	index, err := strconv.ParseInt(header.Get(indexHeader), 10, 64)
	if err != nil || index < 0 {
		return stored{}, fmt.Errorf("%w: chunk of %s has no index", ErrInvalid, execution)
	}
	sequence, err := strconv.ParseUint(header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return stored{}, fmt.Errorf("%w: chunk of %s has no sequence", ErrInvalid, execution)
	}
	return stored{&Chunk{Execution: execution, Attempt: attempt, Index: index, Data: data}, sequence}, nil
}
