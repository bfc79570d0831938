package embed

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Sync returns once everything that JetStream acknowledged before the call is on disk, for all streams at once.
// ErrNotDurable if that failed, now or ever before. When ctx ends first nothing is known.
// With SyncInterval, and where every write is synced anyway, it returns at once.
func (s *Server) Sync(ctx context.Context) error { return s.committer.wait(ctx) }

// Failed is what every Sync answers from now on, or nil.
func (s *Server) Failed() error { return s.committer.refused() }

// committer lets many callers share one sync. While one runs the callers gather for the next, so under load
// their number adapts to the speed of the disk. A committer without sync waits for nothing.
type committer struct {
	sync    func() error
	release func() error
	kick    chan struct{}
	stop    chan struct{}
	stopped sync.WaitGroup

	mu sync.Mutex
	// next is whom the sync after the running one releases.
	next *round
	// failed is what every later caller gets.
	failed error
}

const (
	// crowd is how many callers a sync must have released for the next one to be put off: one caller alone, or a few, are
	// never made to wait for company.
	crowd = 4
	// gather is how far apart syncs begin in a crowd. A sync costs the kernel about the same for one write as for a
	// hundred, and the processor it takes is one that the callers need to get their next write done.
	gather = 2 * time.Millisecond
)

// round is one sync as those see it who wait for it; err is set before done is closed.
type round struct {
	done    chan struct{}
	err     error
	callers int
}

func newRound() *round { return &round{done: make(chan struct{})} }

// newCommitter begins to take callers; sync is never called twice at a time, release once after the last sync.
func newCommitter(sync, release func() error) *committer {
	c := &committer{
		sync:    sync,
		release: release,
		kick:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		next:    newRound(),
	}
	c.stopped.Go(c.run)
	return c
}

func (c *committer) wait(ctx context.Context) error {
	if c.sync == nil {
		return nil
	}
	round, err := c.join()
	if err != nil {
		return err
	}
	select {
	case <-round.done:
		return round.err
	case <-ctx.Done():
		return fmt.Errorf("wait for sync to disk: %w", context.Cause(ctx))
	}
}

func (c *committer) refused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *committer) join() (*round, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return nil, c.failed
	}
	c.next.callers++
	select {
	case c.kick <- struct{}{}:
	default:
	}
	return c.next, nil
}

// run ends with the first sync that fails: another one could succeed without having written what was lost.
func (c *committer) run() {
	for {
		select {
		case <-c.kick:
			began := time.Now()
			callers, err := c.commit()
			if err != nil {
				c.refuse(err)
				return
			}
			if callers >= crowd {
				c.putOff(began.Add(gather))
			}
		case <-c.stop:
			c.refuse(ErrClosed)
			return
		}
	}
}

// commit syncs for those who came before it began, and answers how many they were. Who comes while it runs may have written
// after the kernel looked at their file, and belongs to the next round.
func (c *committer) commit() (callers int, err error) {
	gathered := c.turn(nil)
	defer close(gathered.done)
	if err := c.sync(); err != nil {
		gathered.err = fmt.Errorf("%w: %w", ErrNotDurable, err)
	}
	return gathered.callers, gathered.err
}

// putOff lets callers gather until the time has come, or the committer is closed.
func (c *committer) putOff(until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.stop:
	}
}

// refuse releases who waits with err, and who comes from now on.
func (c *committer) refuse(err error) {
	gathered := c.turn(err)
	gathered.err = err
	close(gathered.done)
}

// turn answers the round that gathered so far and opens another, which nobody enters once failed is given.
func (c *committer) turn(failed error) *round {
	c.mu.Lock()
	defer c.mu.Unlock()
	gathered := c.next
	c.next = newRound()
	c.failed = failed
	return gathered
}

// close releases all who wait with ErrClosed, and returns once no sync runs.
func (c *committer) close() error {
	if c.sync == nil {
		return nil
	}
	close(c.stop)
	c.stopped.Wait()
	if err := c.release(); err != nil {
		return fmt.Errorf("close store folder: %w", err)
	}
	return nil
}
