package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// payloadTimeout bounds a read by a caller who gives no deadline.
const payloadTimeout = 2 * time.Minute

// PutPayload stores a large body under name, in place of what was there. Acknowledged but not synced on return.
// It is kept for the retention and a little longer, counted from now.
func (s *Store) PutPayload(ctx context.Context, name string, body []byte) error {
	if err := putObject(ctx, s.buckets.payloads, name, body); err != nil {
		return fmt.Errorf("put payload %s: %w", name, err)
	}
	return nil
}

// KeepPayload stores a large body under name until expires, in place of what was there. Acknowledged but not synced on return.
func (s *Store) KeepPayload(ctx context.Context, name string, body []byte, expires time.Time) error {
	panic("being written")
}

// Payload answers a large body. ErrNotFound if there is none.
func (s *Store) Payload(ctx context.Context, name string) ([]byte, error) {
	// nats.go keeps a goroutine for the reading until its context ends.
	ctx, cancel := context.WithTimeout(ctx, payloadTimeout)
	defer cancel()
	body, err := s.buckets.payloads.GetBytes(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("payload %s: %w", name, translate(err))
	}
	return body, nil
}

// DeletePayload takes a large body away; one that is not there is no error.
func (s *Store) DeletePayload(ctx context.Context, name string) error {
	err := translate(s.buckets.payloads.Delete(ctx, name))
	if errors.Is(err, ErrFull) {
		err = s.makeRoom(ctx, name)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("delete payload %s: %w", name, err)
	}
	return nil
}

// makeRoom deletes from a full bucket, which has no room for the mark that nats.go writes before it takes the bytes away.
func (s *Store) makeRoom(ctx context.Context, name string) error {
	info, err := s.buckets.payloads.GetInfo(ctx, name)
	if err != nil {
		return translate(err)
	}
	chunks, err := s.js.Stream(ctx, "OBJ_"+payloadsBucket)
	if err != nil {
		return translate(err)
	}
	if err := chunks.Purge(ctx, jetstream.WithPurgeSubject("$O."+payloadsBucket+".C."+info.NUID)); err != nil {
		return translate(err)
	}
	return translate(s.buckets.payloads.Delete(ctx, name))
}

func putObject(ctx context.Context, bucket jetstream.ObjectStore, name string, body []byte) error {
	meta := jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkSize}}
	_, err := bucket.Put(ctx, meta, bytes.NewReader(body))
	return translate(err)
}
