package embed

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A bubble's clock stands still until all wait, so a test knows who was released by which sync.

func TestSyncReleasesWhoCameBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun, end := make(chan struct{}), make(chan struct{})
		c := commitWith(t, func() error {
			begun <- struct{}{}
			<-end
			return nil
		})
		released := make(chan int, 10)
		wait := func(who int) {
			if err := c.wait(t.Context()); err != nil {
				t.Error(err)
			}
			released <- who
		}
		go wait(1)
		<-begun
		// The first sync runs now: whoever comes has written too late for it.
		go wait(2)
		go wait(3)
		synctest.Wait()
		end <- struct{}{}
		synctest.Wait()
		if len(released) != 1 || <-released != 1 {
			t.Fatal("the first sync did not release exactly the first")
		}
		<-begun
		end <- struct{}{}
		synctest.Wait()
		if len(released) != 2 {
			t.Errorf("the second sync released %d, want 2", len(released))
		}
	})
}

func TestSyncIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int64
		c := commitWith(t, func() error {
			syncs.Add(1)
			time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's clock: it lets the others gather
			return nil
		})
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() {
				for range 10 {
					if err := c.wait(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
		// The first who comes back is too early for the rest of its round.
		if got := syncs.Load(); got < 10 || got > 21 {
			t.Errorf("10 rounds of 1000 callers took %d syncs, want 10 to 21", got)
		}
	})
}

// Whoever is released must have been covered by a sync that began after the call. Here every write takes a number, and
// a sync makes durable what was written when it began.
func TestSyncCoversItsCallers(t *testing.T) {
	t.Parallel()
	var written, durable atomic.Int64
	c := commitWith(t, func() error {
		began := written.Load()
		durable.Store(began)
		return nil
	})
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			for range 500 {
				mine := written.Add(1)
				if err := c.wait(t.Context()); err != nil {
					t.Error(err)
					return
				}
				if got := durable.Load(); got < mine {
					t.Errorf("released with write %d while only %d were durable", mine, got)
					return
				}
			}
		})
	}
	callers.Wait()
}

func TestFailedSyncStaysFailed(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	syncs := 0
	c := commitWith(t, func() error {
		if syncs++; syncs == 2 {
			return broken
		}
		return nil
	})
	if err := c.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.wait(t.Context()); !errors.Is(err, ErrNotDurable) || !errors.Is(err, broken) {
			t.Errorf("after a failed sync: %v, want ErrNotDurable with its cause", err)
		}
	}
	if syncs != 2 {
		t.Errorf("%d syncs, want none after the one that failed", syncs)
	}
	if err := c.refused(); !errors.Is(err, broken) {
		t.Errorf("the reason is %v, want the failure", err)
	}
}

func TestSyncFailsAllWhoGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fail := make(chan error)
		c := commitWith(t, func() error { return <-fail })
		failed := make(chan error, 3)
		wait := func() { failed <- c.wait(t.Context()) }
		go wait()
		synctest.Wait()
		go wait()
		go wait()
		synctest.Wait()
		fail <- errors.New("input/output error")
		for range 3 {
			if err := <-failed; !errors.Is(err, ErrNotDurable) {
				t.Errorf("released with %v, want ErrNotDurable", err)
			}
		}
	})
}

func TestSyncEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		c := commitWith(t, func() error { <-end; return nil })
		defer close(end)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait ended with %v, want the deadline", err)
		}
	})
}

func TestCloseReleasesWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		c := newCommitter(func() error { <-end; return nil }, func() error { return nil })
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- c.wait(t.Context()) }()
		synctest.Wait()
		go func() { second <- c.wait(t.Context()) }()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- c.close() }()
		synctest.Wait()
		if len(closed) != 0 {
			t.Error("closed while a sync was running")
		}
		close(end)
		if err := <-first; err != nil {
			t.Errorf("who was covered by the running sync got %v", err)
		}
		// Either there was time for one more sync or there was not.
		if err := <-second; err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("who waited for the next sync got %v, want nil or ErrClosed", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if err := c.wait(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("who came after the close got %v, want ErrClosed", err)
		}
	})
}

// commitWith answers a committer that is closed at the end of the test.
func commitWith(t *testing.T, sync func() error) *committer {
	t.Helper()
	c := newCommitter(sync, func() error { return nil })
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func BenchmarkSync(b *testing.B) {
	server, err := Open(b.Context(), Options{StoreDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := server.Close(context.Background()); err != nil {
			b.Error(err)
		}
	}()
	for b.Loop() {
		if err := server.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// After a sync that released many the next one begins later, so that they gather; a caller alone waits for nobody.
func TestCrowdGathers(t *testing.T) {
	t.Parallel()
	for callers, apart := range map[int]time.Duration{1: 0, crowd - 1: 0, crowd: gather, 10 * crowd: gather} {
		synctest.Test(t, func(t *testing.T) {
			begun := make(chan time.Time, 10)
			first := make(chan struct{})
			c := commitWith(t, func() error {
				begun <- time.Now()
				<-first // the crowd gathers behind the first one
				return nil
			})
			var all sync.WaitGroup
			wait := func() {
				if err := c.wait(t.Context()); err != nil {
					t.Error(err)
				}
			}
			all.Go(wait)
			synctest.Wait()
			for range callers {
				all.Go(func() { wait(); wait() })
			}
			synctest.Wait()
			close(first)
			all.Wait()
			<-begun
			second, third := <-begun, <-begun
			if got := third.Sub(second); got != apart {
				t.Errorf("after %d callers the next sync began %v later, want %v", callers, got, apart)
			}
		})
	}
}
