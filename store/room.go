package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// roomForNew is the percentage of a bucket that new executions and their requests may fill. The rest is for the results
	// of those that are there: without it a full bucket could not even take down that they ended.
	roomForNew = 90
	// A look at the bucket's size is good for a second, or until this Store wrote a hundredth of the bucket.
	lookEvery     = time.Second
	lookEveryPart = 100
)

// room remembers whether a bucket takes what is new.
type room struct {
	stream jetstream.Stream
	size   int64

	mu      sync.Mutex
	looked  time.Time
	written int64
	gone    bool
}

func newRoom(stream jetstream.Stream, size int64) *room { return &room{stream: stream, size: size} }

// Admit answers ErrFull while CreateExecution would. Who writes more than the record of an execution asks first, so that little is
// left behind of one that is refused.
func (s *Store) Admit(ctx context.Context) error {
	if err := s.room.admit(ctx); err != nil {
		return fmt.Errorf("admit an execution: %w", err)
	}
	return nil
}

// admit refuses what is new while the bucket is nearly full. Of all who ask at a time one looks; the others go by
// what the last look said.
func (r *room) admit(ctx context.Context) error {
	name := r.stream.CachedInfo().Config.Name
	mustLook, gone := r.ask()
	if mustLook {
		ctx, cancel := bounded(ctx)
		defer cancel()
		info, err := r.stream.Info(ctx)
		if err != nil {
			return fmt.Errorf("look at size of %s: %w", name, translate(err))
		}
		gone = info.State.Bytes > uint64(r.size)/100*roomForNew
		r.saw(gone)
	}
	if gone {
		return fmt.Errorf("%w: %s takes more than %d%% of %d bytes", ErrFull, name, roomForNew, r.size)
	}
	return nil
}

func (r *room) ask() (mustLook, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.written < r.size/lookEveryPart && time.Since(r.looked) < lookEvery {
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

// freed has a bucket that was full looked at again.
func (r *room) freed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		r.looked = time.Time{}
	}
}
