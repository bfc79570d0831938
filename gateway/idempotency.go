package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const (
	// keyHeader carries an idempotency key over HTTP, keyMetadata over gRPC.
	keyHeader   = "Idempotency-Key"
	keyMetadata = "idempotency-key"
	maxKey      = 255
)

// keyOf is the idempotency key of a request, in its field or beside it; empty if there is none.
func keyOf(ctx context.Context, r *ignitev1.InvokeRequest) (string, error) {
	return agreedKey(r.GetIdempotencyKey(), metadata.ValueFromIncomingContext(ctx, keyMetadata))
}

// agreedKey is the one key that is given in a field, where empty is none, and beside it.
func agreedKey(field string, beside []string) (string, error) {
	given := beside
	if field != "" {
		given = append([]string{field}, beside...)
	}
	if len(given) == 0 {
		return "", nil
	}
	for _, key := range given {
		if key != given[0] {
			return "", badField("idempotency_key", "is given more than once, and not the same each time")
		}
	}
	if !validKey(given[0]) {
		return "", badField("idempotency_key", "must be 1 to %d visible ASCII characters", maxKey)
	}
	return given[0], nil
}

func validKey(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return key != "" && len(key) <= maxKey
}

// callerKeyOf keeps the keys of callers apart from our own, and those of an app from those of an earlier one of its name: a caller's key holds
// no space.
func callerKeyOf(app store.App, key string) string { return "call " + app.Incarnation + " " + key }

// redriveKeyOf lets a dead letter become one execution.
func redriveKeyOf(id string) string { return "redrive " + id }

// fingerprint is the same for the same request, as it would be stored, and for no other.
func fingerprint(c submission, r *ignitev1.InvokeRequest) (string, error) {
	hash := sha256.New()
	head := struct {
		App       store.AppRef
		Envelope  pod.Envelope
		Delay     time.Duration
		NotBefore time.Time
		Retry     store.RetryPolicy
	}{c.app.AppRef, c.envelope, r.GetDelay().AsDuration(), r.GetNotBefore().AsTime(), c.retry}
	// JSON orders the names of headers, and its end can be told from the body that follows.
	if err := json.NewEncoder(hash).Encode(head); err != nil {
		return "", fmt.Errorf("fingerprint of a request: %w", err)
	}
	hash.Write(c.body)
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func claimOf(c submission) store.Claim {
	return store.Claim{Execution: c.id(), Fingerprint: c.fingerprint}
}

// claim answers c under the id that its key stands for, and whether that was accepted already. Where it was not, the earlier submission was cut
// off or is under way, and c goes on in its place.
func (s *service) claim(ctx context.Context, c submission) (claimed submission, accepted bool, err error) {
	if c.key == "" {
		return c, false, nil
	}
	holds, err := s.cfg.Store.ClaimKey(ctx, c.org, c.app.AppRef, c.key, claimOf(c))
	if err != nil {
		return c, false, err
	}
	s.cfg.Reached(KeyClaimed)
	switch {
	case holds.Fingerprint != c.fingerprint:
		return c, false, newFault(codes.AlreadyExists,
			"the idempotency key was used with another request, which became execution %s: use another key", holds.Execution)
	case holds.Execution == c.id():
		return c, false, nil
	}
	c.identity.ExecutionID = holds.Execution
	_, err = s.cfg.Store.Execution(ctx, c.org, c.id())
	if errors.Is(err, store.ErrNotFound) {
		return c, false, nil
	}
	return c, err == nil, err
}

// confirm looks whether the claim of another, under which c was stored, still holds: that submission may have been refused meanwhile, and what
// both stored be taken away. Then it stores the work once more: what was there before the record may have been dropped for want of it. Work that
// comes after the end does nothing.
func (s *service) confirm(ctx context.Context, c submission, left *remains) error {
	err := s.cfg.Store.ConfirmKey(ctx, c.org, c.app.AppRef, c.key, claimOf(c))
	if errors.Is(err, store.ErrConflict) {
		f := newFault(codes.Unavailable, "the first submission with this idempotency key was refused while it was repeated: try again")
		f.details = []protoadapt.MessageV1{&errdetails.RetryInfo{RetryDelay: durationpb.New(100 * time.Millisecond)}}
		return f
	}
	if err == nil {
		err = s.enqueue(ctx, left, left.record.DueAt)
	}
	if err != nil {
		left.created, left.doubtful = false, true
	}
	return err
}
