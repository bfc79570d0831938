package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// countingVerifier accepts every token but "bad" for an hour, as its own subject, and counts how often it is asked.
type countingVerifier struct {
	mu    sync.Mutex
	asked map[string]int
	ends  time.Time
}

func newCountingVerifier() *countingVerifier {
	return &countingVerifier{asked: map[string]int{}, ends: time.Now().Add(time.Hour)}
}

func (v *countingVerifier) Verify(_ context.Context, token string) (Principal, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[token]++
	if token == "bad" || !time.Now().Before(v.ends) {
		return Principal{}, ErrUnauthenticated
	}
	return Principal{Subject: token, Expires: v.ends}, nil
}

func (v *countingVerifier) count(token string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked[token]
}

func verify(t *testing.T, v Verifier, token string) {
	t.Helper()
	p, err := v.Verify(t.Context(), token)
	if err != nil || p.Subject != token {
		t.Fatalf("%s: got %v, %v", token, p, err)
	}
}

func TestCachedAsksOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newCountingVerifier()
		cached := Cached(inner, 10)
		for range 119 {
			verify(t, cached, "a")
			elapse(time.Second)
		}
		if n := inner.count("a"); n != 2 {
			t.Errorf("asked %d times in two minutes", n)
		}
	})
}

func TestCachedDoesNotOutliveTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newCountingVerifier()
		cached := Cached(inner, 10)
		elapse(time.Hour - time.Second)
		verify(t, cached, "a")
		elapse(time.Second)
		if _, err := cached.Verify(t.Context(), "a"); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestCachedDoesNotKeepRefusals(t *testing.T) {
	t.Parallel()
	inner := newCountingVerifier()
	cached := Cached(inner, 10)
	for range 3 {
		if _, err := cached.Verify(t.Context(), "bad"); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("got %v", err)
		}
	}
	if n := inner.count("bad"); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestCachedIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	const size = 10
	inner := newCountingVerifier()
	cached := Cached(inner, size).(*cache)
	for i := range 1000 {
		verify(t, cached, "always")
		verify(t, cached, fmt.Sprint(i))
		if n := len(cached.young) + len(cached.old); n > size {
			t.Fatalf("keeps %d answers", n)
		}
	}
	if n := inner.count("always"); n != 1 {
		t.Errorf("a token in steady use was verified %d times", n)
	}
}

func TestCachedOfNoSizeWorks(t *testing.T) {
	t.Parallel()
	cached := Cached(newCountingVerifier(), 0)
	verify(t, cached, "a")
	verify(t, cached, "b")
	verify(t, cached, "a")
}

func TestCachedIsUsedConcurrently(t *testing.T) {
	t.Parallel()
	cached := Cached(newCountingVerifier(), 8)
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := range 500 {
				token := fmt.Sprint((caller + i) % 12)
				if p, err := cached.Verify(t.Context(), token); err != nil || p.Subject != token {
					t.Errorf("%s: got %v, %v", token, p, err)
				}
			}
		})
	}
	callers.Wait()
}

func BenchmarkVerify(b *testing.B) {
	key := newKey(b)
	token := sign(b, key, request())
	for name, verifier := range map[string]Verifier{
		"static": NewStatic(key),
		"any":    Any(NewStatic(key)),
		"cached": Cached(Any(NewStatic(key)), 100),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// elapse lets time pass in a bubble.
func elapse(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // used in bubbles only, where it costs nothing
}
