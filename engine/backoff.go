package engine

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff answers growing pauses. Its zero value needs least and most.
type backoff struct {
	least, most time.Duration
	failures    int
}

// next answers the pause after one more failure: least at first, doubling to most.
func (b *backoff) next() time.Duration {
	pause := b.least << min(b.failures, 30)
	b.failures++
	if pause <= 0 || pause > b.most {
		return b.most
	}
	return pause
}

// reset makes the next failure the first.
func (b *backoff) reset() { b.failures = 0 }

// wait pauses for the next pause, up to half of it shortened at random, so that those who failed together do not
// come back together. It answers ctx's cause if ctx ends first.
func (b *backoff) wait(ctx context.Context) error {
	next := b.next()
	return sleep(ctx, next-rand.N(next/2+1))
}

// sleep waits for d, or until ctx ends and then answers its cause.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
