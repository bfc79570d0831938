package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// roomForNew is the percentage of the executions bucket that new executions may fill. The rest is for the results
	// of those that are there: without it a full bucket could not even take down that they ended.
	roomForNew = 90
	// A look at the bucket's size is good for a second, or until this Store wrote a hundredth of the bucket.
	lookEvery     = time.Second
	lookEveryPart = 100
)

// room remembers whether the executions bucket takes new executions.
type room struct {
	mu      sync.Mutex
	looked  time.Time
	written int64
	gone    bool
}

// Admit answers ErrFull while CreateExecution would. Who writes more than the record of an execution asks first, so that little is
// left behind of one that is refused.
func (s *Store) Admit(ctx context.Context) error {
	if err := s.admit(ctx); err != nil {
		return fmt.Errorf("admit an execution: %w", err)
	}
	return nil
}

// admit refuses new executions while the bucket is nearly full. Of all who ask at a time one looks; the others go by
// what the last look said.
func (s *Store) admit(ctx context.Context) error {
	mustLook, gone := s.room.ask(s.options.MaxBytes / lookEveryPart)
	if mustLook {
		ctx, cancel := bounded(ctx)
		defer cancel()
		info, err := s.buckets.executions.Info(ctx)
		if err != nil {
			return fmt.Errorf("look at size of bucket %s: %w", executionsBucket, translate(err))
		}
		gone = info.State.Bytes > uint64(s.options.MaxBytes)/100*roomForNew
		s.room.saw(gone)
	}
	if gone {
		return fmt.Errorf("%w: executions take more than %d%% of %d bytes", ErrFull, roomForNew, s.options.MaxBytes)
	}
	return nil
}

func (r *room) ask(enough int64) (mustLook, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.written < enough && time.Since(r.looked) < lookEvery {
		return false, r.gone
	}
	r.looked, r.written = time.Now(), 0
	return true, r.gone
}

func (r *room) saw(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = gone
}

func (r *room) wrote(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written += int64(bytes)
}
