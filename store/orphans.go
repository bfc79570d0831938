package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// OrphanedPayloads answers the names of payloads that are older than age and whose execution has no record. It is for the reaper.
// Payloads that leave by themselves are not among them.
func (s *Store) OrphanedPayloads(ctx context.Context, age time.Duration) ([]string, error) {
	names, err := s.stayingPayloads(ctx, time.Now().Add(-age))
	if err == nil && len(names) > 0 {
		err = s.index.catchUp(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("list payloads without a record: %w", err)
	}
	var orphans []string
	for name, id := range names {
		orphaned, err := s.hasNoRecord(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("look for the record of payload %s: %w", name, err)
		}
		if orphaned {
			orphans = append(orphans, name)
		}
	}
	return orphans, nil
}

// stayingPayloads answers those that were stored before a time and have no TTL, with the execution that each belongs to.
func (s *Store) stayingPayloads(ctx context.Context, before time.Time) (map[string]ulid.ULID, error) {
	asking, cancel := bounded(ctx)
	defer cancel()
	info, err := s.buckets.payloads.Info(asking)
	if err != nil {
		return nil, translate(err)
	}
	r := reader{store: s, stream: s.buckets.payloads}
	if info.State.Msgs == 0 {
		return nil, nil
	}
	defer r.end(ctx)
	names := map[string]ulid.ULID{}
	err = r.readTo(ctx, info.State.LastSeq, func(chunks []seen) {
		for _, chunk := range chunks {
			name, id, ok := ownerOfChunk(chunk.subject)
			if ok && expiry(chunk) == 0 && chunk.stored.Before(before) {
				names[name] = id
			}
		}
	})
	return names, err
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
