package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// CreateExecution stores a PENDING record. It is acknowledged but not synced on return: call Sync before
// anybody is told. ErrExists if the id is taken, ErrFull already when only what is running still has room.
func (s *Store) CreateExecution(ctx context.Context, e Execution) (Execution, error) {
	if !ValidExecutionID(e.ID) || !ValidName(e.Org) || !e.App.valid() {
		return Execution{}, fmt.Errorf("create execution %q of %q for %q: %w", e.ID, e.App, e.Org, ErrInvalidName)
	}
	e.Status, e.Attempt = Pending, 0
	if err := s.room.admit(ctx); err != nil {
		return Execution{}, fmt.Errorf("create execution %s: %w", e.ID, err)
	}
	s.creating.Add(1)
	defer s.creating.Add(-1)
	e.Revision = 0
	created, err := s.writeExecution(ctx, e)
	if errors.Is(err, ErrConflict) {
		err = ErrExists
	}
	if err != nil {
		return Execution{}, fmt.Errorf("create execution %s: %w", e.ID, err)
	}
	s.created.put(created)
	return created, nil
}

// Execution answers the record that org owns, as the last acknowledged write left it: who was told that an execution has ended, or heard that it
// changed, does not read an older state afterwards. ErrNotFound if there is none.
func (s *Store) Execution(ctx context.Context, org, id string) (Execution, error) {
	if !ValidName(org) || !ValidExecutionID(id) {
		return Execution{}, fmt.Errorf("execution %q of %q: %w", id, org, ErrNotFound)
	}
	taken := s.index.takenUpTo()
	e, err := decodeStored(s.current(ctx, s.buckets.executions, executionSubjects+executionFilter(org, id)+"*"))
	if errors.Is(err, ErrNotFound) {
		s.index.missed(org, id, taken)
	}
	if err != nil {
		return Execution{}, fmt.Errorf("execution %s: %w", id, err)
	}
	return e, nil
}

func decodeStored(stored stored, err error) (Execution, error) {
	if err != nil {
		return Execution{}, err
	}
	e, err := decodeExecution(stored.value)
	if err != nil {
		return Execution{}, fmt.Errorf("decode: %w", err)
	}
	e.Revision = stored.revision
	return e, nil
}

// UpdateExecution stores next in place of the record read at next.Revision and answers it with its new revision.
// ErrConflict if somebody wrote in between, ErrTransition if next.Status may not follow what was there.
// A terminal record leaves at ExpiresAt, which is the retention from now unless its writer has said so before. Acknowledged but not synced on return.
func (s *Store) UpdateExecution(ctx context.Context, next Execution) (Execution, error) {
	if state := (state{next.Status, next.Attempt}); !state.mayFollow(next.stored) {
		return Execution{}, fmt.Errorf("execution %s from %q, attempt %d, to %q, attempt %d: %w",
			next.ID, next.stored.status, next.stored.attempt, state.status, state.attempt, ErrTransition)
	}
	if next.Status.Terminal() && !next.ExpiresAt.After(time.Now()) {
		next.ExpiresAt = time.Now().Add(s.options.Retention).UTC()
	}
	updated, err := s.writeExecution(ctx, next)
	if err != nil {
		return Execution{}, fmt.Errorf("update execution %s: %w", next.ID, err)
	}
	return updated, nil
}

// Result answers the result's bytes, from the record or from the payload store.
func (s *Store) Result(ctx context.Context, e Execution) ([]byte, error) {
	if e.ResultObject == "" {
		return e.Result, nil
	}
	result, err := s.Payload(ctx, e.ResultObject)
	if err != nil {
		return nil, fmt.Errorf("result of execution %s: %w", e.ID, err)
	}
	return result, nil
}

// writeExecution stores e in place of the record at e.Revision (0: of none) and answers it with its new revision.
func (s *Store) writeExecution(ctx context.Context, e Execution) (Execution, error) {
	value, err := encodeExecution(e)
	if err != nil {
		return Execution{}, err
	}
	conditions := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(e.Revision)}
	if e.Status.Terminal() {
		conditions = append(conditions, jetstream.WithMsgTTL(wholeSeconds(time.Until(e.ExpiresAt))))
	}
	message := &nats.Msg{
		Subject: executionSubjects + executionKey(e.Org, e.ID, e.App),
		Header:  nats.Header{statusHeader: {string(e.Status)}},
		Data:    value,
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, message, conditions...)
	if err != nil {
		return Execution{}, translate(err)
	}
	s.room.wrote(len(value))
	e.Revision = ack.Sequence
	e.stored = state{e.Status, e.Attempt}
	return e, nil
}

// statusHeader of a record says its status to who reads headers only: the index.
const statusHeader = "Ignite-Status"

// recordHead is about what a record takes without its result.
const recordHead = 640

// A stored record is its JSON, a newline and the result's bytes as they are: JSON would make them a third longer.
func encodeExecution(e Execution) ([]byte, error) {
	var record bytes.Buffer
	record.Grow(recordHead + len(e.Result))
	encoder := json.NewEncoder(&record)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil { // It ends the line itself, and writes no other newline.
		return nil, fmt.Errorf("encode: %w", err)
	}
	record.Write(e.Result)
	return record.Bytes(), nil
}

func decodeExecution(record []byte) (Execution, error) {
	head, result, ok := bytes.Cut(record, []byte{'\n'})
	if !ok {
		return Execution{}, errors.New("record has no end of head")
	}
	var e Execution
	if err := json.Unmarshal(head, &e); err != nil {
		return Execution{}, err
	}
	if len(result) > 0 {
		e.Result = slices.Clip(result)
	}
	e.stored = state{e.Status, e.Attempt}
	return e, nil
}
