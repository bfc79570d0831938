package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Claim is what an idempotency key stands for: the execution it was first used for, and that request's fingerprint.
type Claim struct {
	Execution   string `json:"execution"`
	Fingerprint string `json:"fingerprint"`
}

// storedClaim is a claim as it lies in the bucket.
type storedClaim struct {
	Claim
	Release  release `json:"release,omitempty"`
	revision uint64
}

// release is how far a claim is taken back whose submission was refused. Repetitions of that go on under the claim's id, and may make the record
// meanwhile:
//
//	held ──► releasing ──no record is there──► released: who made a record since takes it back
//	  ▲          └─────────a record is there───┐
//	  └────────────────────────────────────────┘
//
// The record is looked for after the claim is releasing, and ConfirmKey looks at the claim after the record is made. So of the two one sees the
// other, and nobody is told of an execution whose work is being taken away.
type release string

const (
	held      release = ""
	releasing release = "releasing"
	released  release = "released"
)

const (
	// confirmEvery and confirmTries bound how long a claim is looked at that is being released.
	confirmEvery = 50 * time.Millisecond
	confirmTries = 20
)

// ClaimKey gives key, of org's calls of app, to mine for a day, or for the retention if that is shorter, unless it is taken, and answers the claim that holds: mine, or an earlier
// one, which may be of an execution whose submission has not got any further. Acknowledged but not synced on return. ErrUnavailable while it is
// not known whether the claim that holds is released.
func (s *Store) ClaimKey(ctx context.Context, org string, app AppRef, key string, mine Claim) (holds Claim, err error) {
	if !ValidName(org) || !app.valid() || !ValidExecutionID(mine.Execution) {
		return Claim{}, fmt.Errorf("claim key for execution %q of %q for %q: %w", mine.Execution, app, org, ErrInvalidName)
	}
	subject := idempotencySubjects + idempotencyKey(org, app, key)
	for {
		holds, err = s.claimOnce(ctx, org, subject, mine)
		// One that was there and is not any more ended its day, or was taken by another, in between.
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict) {
			return holds, wrapClaim("claim", mine, err)
		}
	}
}

func (s *Store) claimOnce(ctx context.Context, org, subject string, mine Claim) (holds Claim, err error) {
	_, err = s.writeKey(ctx, subject, storedClaim{Claim: mine})
	if !errors.Is(err, ErrConflict) {
		return mine, err
	}
	there, err := s.keyHolder(ctx, subject)
	if err != nil {
		return Claim{}, err
	}
	free, err := s.isFree(ctx, org, there)
	if err != nil || !free {
		return there.Claim, err
	}
	_, err = s.writeKey(ctx, subject, storedClaim{Claim: mine, revision: there.revision})
	return mine, err
}

// isFree reports whether a key may be given to another. Whoever was releasing it may have died over it: then the record decides.
func (s *Store) isFree(ctx context.Context, org string, claim storedClaim) (bool, error) {
	if claim.Release != releasing {
		return claim.Release == released, nil
	}
	record, err := s.Execution(ctx, org, claim.Execution)
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err == nil && record.Attempt == 0 && !record.Status.Terminal():
		err = fmt.Errorf("%w: execution %s is being accepted or refused", ErrUnavailable, record.ID)
	}
	return false, err
}

// writeKey stores a claim in place of the one at its revision, 0 being none, and answers its new one.
func (s *Store) writeKey(ctx context.Context, subject string, claim storedClaim) (revision uint64, err error) {
	value, err := json.Marshal(claim)
	if err != nil {
		return 0, fmt.Errorf("encode: %w", err)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	ack, err := s.js.Publish(ctx, subject, value, jetstream.WithExpectLastSequencePerSubject(claim.revision))
	if err != nil {
		return 0, translate(err)
	}
	return ack.Sequence, nil
}

// keyHolder asks the leader: what is decided by the answer must not be decided by that of a replica which lags behind.
func (s *Store) keyHolder(ctx context.Context, subject string) (holds storedClaim, err error) {
	stored, err := unlessMark(s.messageOfLeader(ctx, s.buckets.idempotency, lastOf(subject)))
	if err != nil {
		return storedClaim{}, err
	}
	if err := json.Unmarshal(stored.value, &holds); err != nil {
		return storedClaim{}, fmt.Errorf("decode: %w", err)
	}
	holds.revision = stored.revision
	return holds, nil
}

// ConfirmKey is for who goes on with a submission under the id of another's claim, after the record is there and before anybody is told.
// ErrConflict if that claim was released or is gone: then the submission is refused. ErrUnavailable if that cannot be known.
func (s *Store) ConfirmKey(ctx context.Context, org string, app AppRef, key string, claim Claim) error {
	subject := idempotencySubjects + idempotencyKey(org, app, key)
	for range confirmTries {
		holds, err := s.keyHolder(ctx, subject)
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && (holds.Claim != claim || holds.Release == released):
			return wrapClaim("confirm", claim, ErrConflict)
		case err != nil || holds.Release == held:
			return wrapClaim("confirm", claim, err)
		}
		wait(ctx, confirmEvery, nil)
	}
	return wrapClaim("confirm", claim, ErrUnavailable)
}

// ReleaseKey takes back a claim whose submission was refused, and reports whether all of it is refused: then what it stored can be taken
// away. It is not if somebody else holds the key, or if a repetition, which goes on under the id of the claim, has made the record meanwhile.
func (s *Store) ReleaseKey(ctx context.Context, org string, app AppRef, key string, mine Claim) (refused bool, err error) {
	subject := idempotencySubjects + idempotencyKey(org, app, key)
	holds, err := s.keyHolder(ctx, subject)
	if errors.Is(err, ErrNotFound) || err == nil && (holds.Claim != mine || holds.Release == released) {
		return false, nil
	}
	if err == nil {
		refused, err = s.releaseKey(ctx, org, subject, holds)
	}
	return refused, wrapClaim("release", mine, err)
}

func (s *Store) releaseKey(ctx context.Context, org, subject string, claim storedClaim) (refused bool, err error) {
	claim.Release = releasing
	if claim.revision, err = s.writeKey(ctx, subject, claim); err != nil {
		return false, err
	}
	_, err = s.Execution(ctx, org, claim.Execution)
	switch {
	case errors.Is(err, ErrNotFound):
		claim.Release = released
	case err == nil:
		claim.Release = held
	default:
		return false, err
	}
	if _, err = s.writeKey(ctx, subject, claim); errors.Is(err, ErrConflict) {
		err = nil // somebody else has the key by now: it was free
	}
	return err == nil && claim.Release == released, err
}

// wrapClaim leaves the key itself out: it is its caller's.
func wrapClaim(what string, mine Claim, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s idempotency key of execution %s: %w", what, mine.Execution, err)
}
