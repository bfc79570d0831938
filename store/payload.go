package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

const (
	// payloadChunk is the size of every chunk of a body but the last: well below the 1 MiB that a server takes by default.
	payloadChunk = 512 << 10
	// chunksAtOnce bounds the chunks of a body that are under way, and with them the memory that a call takes beside the body.
	chunksAtOnce = 4
	// stampHeader of a chunk says what body it is a part of; see stamp.
	stampHeader = "Ignite-Payload"
)

// PutPayload stores the large body of a request under name, in place of what was there, until DeletePayload. Acknowledged but not synced
// on return. ErrFull already when only what KeepPayload stores still has room. If it fails, a part may be stored: nobody else can know whether
// another is storing the same.
func (s *Store) PutPayload(ctx context.Context, name string, body []byte) error {
	if err := s.payloadRoom.admit(ctx); err != nil {
		return fmt.Errorf("put payload %s: %w", name, err)
	}
	if err := s.storePayload(ctx, name, body, 0); err != nil {
		return fmt.Errorf("put payload %s: %w", name, err)
	}
	return nil
}

// KeepPayload stores a large body under name until expires, in place of what was there; where that was the same body, it can be read all
// the time. Acknowledged but not synced on return. If it fails, what it stored leaves by itself.
func (s *Store) KeepPayload(ctx context.Context, name string, body []byte, expires time.Time) error {
	if err := s.storePayload(ctx, name, body, wholeSeconds(time.Until(expires))); err != nil {
		return fmt.Errorf("keep payload %s: %w", name, err)
	}
	return nil
}

// Payload answers a large body. ErrNotFound if there is none, or only a part of it.
func (s *Store) Payload(ctx context.Context, name string) ([]byte, error) {
	body, err := s.readPayload(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("payload %s: %w", name, err)
	}
	return body, nil
}

// DeletePayload takes a large body away; one that is not there is no error.
func (s *Store) DeletePayload(ctx context.Context, name string) error {
	if !validPayloadName(name) {
		return nil
	}
	if err := s.dropPayload(ctx, payloadFilter(name)); err != nil {
		return fmt.Errorf("delete payload %s: %w", name, err)
	}
	return nil
}

func (s *Store) dropPayload(ctx context.Context, subject string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := s.buckets.payloads.Purge(ctx, jetstream.WithPurgeSubject(subject))
	s.payloadRoom.freed()
	return translate(err)
}

func (s *Store) storePayload(ctx context.Context, name string, body []byte, life time.Duration) error {
	if !validPayloadName(name) {
		return ErrInvalidName
	}
	stamp := stampOf(body)
	chunks, stop := errgroup.WithContext(ctx)
	chunks.SetLimit(chunksAtOnce)
	for i := range stamp.chunks {
		chunks.Go(func() error {
			// After the first failure none is begun. What is under way is not given up: it could be stored after it was taken back.
			if stop.Err() != nil {
				return translate(stop.Err())
			}
			return s.storeChunk(ctx, name, i, stamp.chunk(body, i), stamp, life)
		})
	}
	if err := chunks.Wait(); err != nil {
		return err
	}
	return s.dropChunks(ctx, name, stamp.chunks)
}

func (s *Store) storeChunk(ctx context.Context, name string, index int, chunk []byte, stamp stamp, life time.Duration) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	message := &nats.Msg{
		Subject: payloadSubject(name, index),
		Header:  nats.Header{stampHeader: {stamp.String()}},
		Data:    chunk,
	}
	var options []jetstream.PublishOpt
	if life > 0 {
		options = append(options, jetstream.WithMsgTTL(life))
	}
	_, err := s.js.PublishMsg(ctx, message, options...)
	s.payloadRoom.wrote(len(chunk))
	return translate(err)
}

// dropChunks takes away what a longer body left that was there before.
func (s *Store) dropChunks(ctx context.Context, name string, from int) error {
	for index := from; ; index++ {
		subject := payloadSubject(name, index)
		_, err := s.message(ctx, s.buckets.payloads, subject)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err == nil {
			err = s.dropPayload(ctx, subject)
		}
		if err != nil {
			return err
		}
	}
}

func (s *Store) readPayload(ctx context.Context, name string) ([]byte, error) {
	if !validPayloadName(name) {
		return nil, ErrNotFound
	}
	// It says what the others must be: the first chunk of a body that was replaced would ask for chunks that are gone.
	first, err := s.currentMessage(ctx, s.buckets.payloads, payloadSubject(name, 0))
	if err != nil {
		return nil, err
	}
	stamp, err := parseStamp(first.Header.Get(stampHeader))
	if err != nil {
		return nil, err
	}
	body := make([]byte, stamp.size)
	copy(stamp.chunk(body, 0), first.Data)
	chunks, stop := errgroup.WithContext(ctx)
	chunks.SetLimit(chunksAtOnce)
	for i := 1; i < stamp.chunks; i++ {
		chunks.Go(func() error { return s.readChunk(stop, name, i, stamp, stamp.chunk(body, i)) })
	}
	return body, chunks.Wait()
}

// readChunk reads one chunk into its place. One of another body counts as missing: a write was cut off, or is under way.
func (s *Store) readChunk(ctx context.Context, name string, index int, stamp stamp, place []byte) error {
	subject := payloadSubject(name, index)
	found, err := s.message(ctx, s.buckets.payloads, subject)
	if err == nil && found.Header.Get(stampHeader) != stamp.String() && s.options.Replicas > 1 {
		found, err = s.messageOfLeader(ctx, s.buckets.payloads, lastOf(subject)) // the replica that answered may lag behind
	}
	if err != nil {
		return err
	}
	if found.Header.Get(stampHeader) != stamp.String() || len(found.Data) != len(place) {
		return ErrNotFound
	}
	copy(place, found.Data)
	return nil
}

// stamp says what body a chunk is a part of. Chunks belong together if their stamps are the same, whoever wrote them; so several may
// store the same body at a time, and one may go on where another was cut off.
type stamp struct {
	size, chunks int
	sum          string
}

func stampOf(body []byte) stamp {
	return stamp{
		size:   len(body),
		chunks: max((len(body)+payloadChunk-1)/payloadChunk, 1),
		sum:    fmt.Sprintf("%x", sha256.Sum256(body)),
	}
}

func (s stamp) String() string {
	return strconv.Itoa(s.size) + " " + strconv.Itoa(s.chunks) + " " + s.sum
}

var errStamp = errors.New("not the stamp of a payload")

func parseStamp(text string) (stamp, error) {
	size, rest, _ := strings.Cut(text, " ")
	chunks, sum, _ := strings.Cut(rest, " ")
	bytes, sizeErr := strconv.Atoi(size)
	count, countErr := strconv.Atoi(chunks)
	parsed := stamp{bytes, count, sum}
	if errors.Join(sizeErr, countErr) != nil || parsed.String() != text || !parsed.fits() {
		return stamp{}, fmt.Errorf("%w: %q", errStamp, text)
	}
	return parsed, nil
}

// fits reports whether a body of that size has that many chunks.
func (s stamp) fits() bool {
	return s.chunks > 0 && s.size >= 0 && s.size <= s.chunks*payloadChunk && (s.size > (s.chunks-1)*payloadChunk || s.chunks == 1)
}

// chunk is the place of a chunk in its body.
func (s stamp) chunk(body []byte, index int) []byte {
	return body[index*payloadChunk : min((index+1)*payloadChunk, s.size)]
}
