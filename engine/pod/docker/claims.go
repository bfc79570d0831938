package docker

import (
	"context"
	"sync"
)

// claims let one work on a name at a time. The zero value is ready to use.
type claims struct {
	mu    sync.Mutex
	taken map[string]chan struct{}
}

// claim waits until nobody else works on name; release lets the next in.
func (c *claims) claim(ctx context.Context, name string) (release func(), err error) {
	for {
		done, free := c.try(name)
		if free {
			return func() { c.release(name, done) }, nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *claims) try(name string) (done chan struct{}, free bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if done, taken := c.taken[name]; taken {
		return done, false
	}
	if c.taken == nil {
		c.taken = make(map[string]chan struct{})
	}
	done = make(chan struct{})
	c.taken[name] = done
	return done, true
}

func (c *claims) release(name string, done chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.taken, name)
	close(done)
}
