package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
)

// OrphanedPayloads answers the names of payloads that are older than age and whose execution has no record. It is for the reaper.
// Payloads that leave by themselves are not among them.
func (s *Store) OrphanedPayloads(ctx context.Context, age time.Duration) ([]string, error) {
	before := time.Now().Add(-age)
	chunks, err := s.chunksOf(ctx, before)
	if err == nil && len(chunks) > 0 {
		err = s.index.catchUp(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("list payloads without a record: %w", err)
	}
	var orphans []string
	for name, chunk := range chunks {
		orphaned, err := s.isOrphan(ctx, chunk, before)
		if err != nil {
			return nil, fmt.Errorf("look for the record of payload %s: %w", name, err)
		}
		if orphaned {
			orphans = append(orphans, name)
		}
	}
	return orphans, nil
}

// chunk is any one of a payload, and the execution that the payload belongs to.
type chunk struct {
	subject string
	id      ulid.ULID
}

// chunksOf answers one chunk of each payload whose execution is older than before. Only their subjects are asked for, which JetStream has
// in memory: it would read all bodies from disk to tell their headers.
func (s *Store) chunksOf(ctx context.Context, before time.Time) (map[string]chunk, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	info, err := s.buckets.payloads.Info(ctx, jetstream.WithSubjectFilter(payloadSubjects+">"))
	if err != nil {
		return nil, translate(err)
	}
	chunks := map[string]chunk{}
	for subject := range info.State.Subjects {
		name, id, ok := ownerOfChunk(subject)
		if ok && !id.Timestamp().After(before) {
			chunks[name] = chunk{subject, id}
		}
	}
	return chunks, nil
}

// isOrphan reports whether a payload was stored before a time, stays, and belongs to no record.
func (s *Store) isOrphan(ctx context.Context, c chunk, before time.Time) (bool, error) {
	if orphaned, err := s.hasNoRecord(ctx, c.id); err != nil || !orphaned {
		return false, err
	}
	found, err := s.message(ctx, s.buckets.payloads, c.subject)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	stays := expiry(seen{header: found.Header, stored: found.Time}) == 0
	return stays && found.Time.Before(before), nil
}

// ownerOfChunk answers the execution whose payload a chunk is a part of: that which the second word of its name says.
func ownerOfChunk(subject string) (name string, id ulid.ULID, ok bool) {
	name, _, err := parsePayloadSubject(subject)
	if err != nil {
		return "", ulid.ULID{}, false
	}
	_, rest, _ := strings.Cut(name, ".")
	word, _, _ := strings.Cut(rest, ".")
	id, ok = parseExecutionID(word)
	return name, id, ok
}

// hasNoRecord asks the index first, which costs nothing. What it does not know is looked for, because a payload that is deleted is gone.
func (s *Store) hasNoRecord(ctx context.Context, id ulid.ULID) (bool, error) {
	if s.index.knows(id) {
		return false, nil
	}
	_, err := s.latest(ctx, s.buckets.executions, executionSubjects+"*."+executionID(id)+".*")
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	return false, err
}

func (x *index) knows(id ulid.ULID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, records := range x.owners {
		if _, ok := records.get(id); ok {
			return true
		}
	}
	return false
}
