package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

func newClaim(fingerprint string) store.Claim {
	return store.Claim{Execution: store.NewExecutionID(), Fingerprint: fingerprint}
}

func claimKey(t *testing.T, s *store.Store, key string, mine store.Claim) store.Claim {
	t.Helper()
	holds, err := s.ClaimKey(t.Context(), "caller.org", hello, key, mine)
	if err != nil {
		t.Fatalf("claim %q: %v", key, err)
	}
	return holds
}

func TestClaimKey(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	first, second := newClaim("a"), newClaim("b")
	if holds := claimKey(t, s, "key", first); holds != first {
		t.Errorf("%+v holds a key that was free, want %+v", holds, first)
	}
	if holds := claimKey(t, other, "key", second); holds != first {
		t.Errorf("%+v holds the key, want the first claim %+v", holds, first)
	}
	// Keys may hold anything, and belong to one app's callers of one organization.
	for _, key := range []string{"", "Key", "key.*", "> \n\x00\xff", strings.Repeat("k", 10_000)} {
		mine := newClaim("c")
		if holds := claimKey(t, s, key, mine); holds != mine {
			t.Errorf("%+v holds %q, want %+v", holds, key, mine)
		}
	}
	mine := newClaim("d")
	if holds, err := s.ClaimKey(t.Context(), "another", hello, "key", mine); err != nil || holds != mine {
		t.Errorf("of another organization holds %+v, %v", holds, err)
	}
	if holds, err := s.ClaimKey(t.Context(), "caller.org", store.AppRef{Org: "acme", Name: "x"}, "key", mine); err != nil || holds != mine {
		t.Errorf("of another app holds %+v, %v", holds, err)
	}
}

func TestClaimKeyRefuses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, test := range []struct {
		org  string
		app  store.AppRef
		mine store.Claim
	}{
		{"*", hello, newClaim("")},
		{"acme", store.AppRef{Org: "acme"}, newClaim("")},
		{"acme", hello, store.Claim{Execution: "exec_x"}},
	} {
		_, err := s.ClaimKey(t.Context(), test.org, test.app, "key", test.mine)
		wantError(t, err, store.ErrInvalidName)
	}
}

// Of all who claim a key at a time one gets it, and all learn who.
func TestClaimKeyByManyAtOnce(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	stores := []*store.Store{open(t, server, store.Options{}), open(t, server, store.Options{})}
	holders := make([]store.Claim, 16)
	var group sync.WaitGroup
	for i := range holders {
		group.Go(func() {
			var err error
			holders[i], err = stores[i%2].ClaimKey(t.Context(), "caller.org", hello, "key", newClaim(fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, holder := range holders {
		if holder != holders[0] {
			t.Fatalf("the key is held by %+v and by %+v", holders[0], holder)
		}
	}
}

func TestReleaseKey(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, second := newClaim("a"), newClaim("b")
	release := func(mine store.Claim, want bool) {
		t.Helper()
		if refused, err := s.ReleaseKey(t.Context(), "caller.org", hello, "key", mine); err != nil || refused != want {
			t.Errorf("release: %v, %v; want %v", refused, err, want)
		}
	}
	release(first, false) // which nobody holds
	claimKey(t, s, "key", first)
	release(second, false)
	if holds := claimKey(t, s, "key", second); holds != first {
		t.Errorf("%+v holds the key after somebody else released it, want %+v", holds, first)
	}
	confirm := func(mine store.Claim, want error) {
		t.Helper()
		wantError(t, s.ConfirmKey(t.Context(), "caller.org", hello, "key", mine), want)
	}
	confirm(first, nil)
	release(first, true)
	release(first, false)
	confirm(first, store.ErrConflict)
	if holds := claimKey(t, s, "key", second); holds != second {
		t.Errorf("%+v holds the key that was released, want %+v", holds, second)
	}
	confirm(first, store.ErrConflict)
	confirm(second, nil)
}

// Of a release and a repetition that makes the record at the same time, one gives way.
func TestKeyIsReleasedOrConfirmed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for n := range 50 {
		mine, key := newClaim("a"), fmt.Sprint(n)
		claimKey(t, s, key, mine)
		var group sync.WaitGroup
		var refused bool
		var releaseErr, confirmErr error
		group.Go(func() { refused, releaseErr = s.ReleaseKey(t.Context(), "caller.org", hello, key, mine) })
		group.Go(func() {
			if _, err := s.CreateExecution(t.Context(), store.Execution{ID: mine.Execution, Org: "caller.org", App: hello}); err != nil {
				t.Error(err)
			}
			confirmErr = s.ConfirmKey(t.Context(), "caller.org", hello, key, mine)
		})
		group.Wait()
		if releaseErr != nil || refused != errors.Is(confirmErr, store.ErrConflict) || refused == (confirmErr == nil) {
			t.Fatalf("refused: %v, %v; confirmed: %v", refused, releaseErr, confirmErr)
		}
	}
}

// A repetition went on under the id of a claim and made its record, when the first submission is refused: the key stays.
func TestKeyOfARecordIsNotReleased(t *testing.T) {
	t.Parallel()
	s := setup(t)
	created := createExecution(t, s)
	mine := store.Claim{Execution: created.ID, Fingerprint: "a"}
	claimKey(t, s, "key", mine)
	if refused, err := s.ReleaseKey(t.Context(), created.Org, hello, "key", mine); err != nil || refused {
		t.Fatalf("released: %v, %v", refused, err)
	}
	if holds := claimKey(t, s, "key", newClaim("a")); holds != mine {
		t.Errorf("%+v holds the key, want %+v", holds, mine)
	}
}

func TestKeysStandForADayAndAreCapped(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{MaxBytes: 1 << 20})
	js, err := jetstream.New(server.Conn)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := js.KeyValue(t.Context(), "ignite_idempotency")
	if err != nil {
		t.Fatal(err)
	}
	if status, err := keys.Status(t.Context()); err != nil || status.TTL() != 24*time.Hour {
		t.Errorf("status of the bucket is %+v, %v", status, err)
	}
	for i := 0; err == nil; i++ {
		_, err = s.ClaimKey(t.Context(), "caller.org", hello, fmt.Sprint(i), newClaim(strings.Repeat("x", 4<<10)))
	}
	wantError(t, err, store.ErrFull)
}

func TestClaimKeyWhenServerIsGone(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{})
	server.Stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.ClaimKey(ctx, "caller.org", hello, "key", newClaim("a"))
	wantError(t, err, store.ErrUnavailable)
	if _, err := s.ReleaseKey(ctx, "caller.org", hello, "key", newClaim("a")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("release: %v", err)
	}
}
