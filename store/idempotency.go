package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Claim is what an idempotency key stands for: the execution it was first used for, and that request's fingerprint.
type Claim struct {
	Execution   string `json:"execution"`
	Fingerprint string `json:"fingerprint"`
}

// ClaimKey gives key, of org's calls of app, to mine for a day, or for the retention if that is shorter, unless it is taken. It answers the
// claim that holds: mine, or an earlier one, which may be of an execution whose submission has not got any further. Acknowledged but not
// synced on return.
func (s *Store) ClaimKey(ctx context.Context, org string, app AppRef, key string, mine Claim) (holds Claim, err error) {
	if !ValidName(org) || !app.valid() || !ValidExecutionID(mine.Execution) {
		return Claim{}, fmt.Errorf("claim key for execution %q of %q for %q: %w", mine.Execution, app, org, ErrInvalidName)
	}
	subject := idempotencySubjects + idempotencyKey(org, app, key)
	for {
		err := s.takeKey(ctx, subject, mine)
		if err == nil {
			return mine, nil
		}
		if errors.Is(err, ErrConflict) {
			holds, err = s.keyHolder(ctx, subject)
		}
		// One that was there and is not any more was released, or its day ended, in between.
		if !errors.Is(err, ErrNotFound) {
			return holds, wrapClaim("claim", mine, err)
		}
	}
}

func (s *Store) takeKey(ctx context.Context, subject string, mine Claim) error {
	value, err := json.Marshal(mine)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err = s.js.Publish(ctx, subject, value, jetstream.WithExpectLastSequencePerSubject(0))
	return translate(err)
}

func (s *Store) keyHolder(ctx context.Context, subject string) (holds Claim, err error) {
	stored, err := s.latest(ctx, s.buckets.idempotency, subject)
	if err != nil {
		return Claim{}, err
	}
	if err := json.Unmarshal(stored.value, &holds); err != nil {
		return Claim{}, fmt.Errorf("decode: %w", err)
	}
	return holds, nil
}

// ReleaseKey takes back a claim whose submission was refused. It is left alone if somebody else holds it, or if a repetition, which goes on
// under the id of the claim, has made the record meanwhile.
func (s *Store) ReleaseKey(ctx context.Context, org string, app AppRef, key string, mine Claim) error {
	subject := idempotencySubjects + idempotencyKey(org, app, key)
	holds, err := s.keyHolder(ctx, subject)
	if errors.Is(err, ErrNotFound) || err == nil && holds != mine {
		return nil
	}
	if err != nil {
		return wrapClaim("release", mine, err)
	}
	if _, err := s.Execution(ctx, org, mine.Execution); !errors.Is(err, ErrNotFound) {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	return wrapClaim("release", mine, translate(s.buckets.idempotency.Purge(ctx, jetstream.WithPurgeSubject(subject))))
}

// wrapClaim leaves the key itself out: it is its caller's.
func wrapClaim(what string, mine Claim, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s idempotency key of execution %s: %w", what, mine.Execution, err)
}
