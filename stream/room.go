package stream

import (
	"context"
	"fmt"
	"time"
)

const (
	// sizeKept is how long the size of the stream is taken for known: other processes write there too.
	sizeKept = time.Second
	// percentNew and percentAgain are how much of the stream new executions may fill, and those that wait for their next
	// attempt. The rest is for what is written before this process knows of it.
	percentNew, percentAgain = 80, 95
)

// room refuses what the stream of later work has no room for, as the stream itself would delete the oldest.
type room struct {
	limit int64
	// size asks for the bytes that are stored.
	size func(context.Context) (int64, error)
	// lock is held by who sends to it: unlike a mutex it can be waited for with a context.
	lock chan struct{}

	// used was true at some time, or is more; it is known until then.
	used  int64
	until time.Time
}

func newRoom(limit int64, size func(context.Context) (int64, error)) *room {
	return &room{limit: limit, size: size, lock: make(chan struct{}, 1)}
}

// take answers ErrFull if there is no room for so many bytes more.
func (r *room) take(ctx context.Context, bytes int64, again bool) error {
	select {
	case r.lock <- struct{}{}:
		defer func() { <-r.lock }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	limit := r.limit / 100 * percentNew
	if again {
		limit = r.limit / 100 * percentAgain
	}
	if time.Now().After(r.until) || r.used+bytes > limit {
		if err := r.measure(ctx); err != nil {
			return translate(ctx, err)
		}
	}
	if r.used+bytes > limit {
		return fmt.Errorf("%w: %d bytes wait for their time", ErrFull, r.used)
	}
	r.used += bytes
	return nil
}

func (r *room) measure(ctx context.Context) error {
	used, err := r.size(ctx)
	if err != nil {
		return err
	}
	r.used, r.until = used, time.Now().Add(sizeKept)
	return nil
}
