package proxy

import (
	"context"
	"sync"
	"time"
)

// backendKey is a server for as long as it is in service.
type backendKey struct {
	host string
	gone <-chan struct{}
}

// backend is what we have with one server: connections that are idle and calls that run.
type backend struct {
	proxy *Proxy
	host  string

	mu   sync.Mutex
	gone bool
	// idle has the connection that was used last at its end, which is taken first.
	idle []*conn
	busy map[cutter]struct{}
}

// cutter is a call that can be ended from outside. It is called with the backend's lock held, and must not block.
type cutter interface{ cut(cause error) }

// take answers a connection that was used before, if it still stands, or a new one.
func (b *backend) take(ctx context.Context) (*conn, error) {
	for {
		c, ok := b.pop()
		if !ok {
			return b.dial(ctx)
		}
		if c.stands() {
			return c, nil
		}
		_ = c.Close() // it is of no use
	}
}

func (b *backend) pop() (*conn, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.idle) > 0 {
		last := len(b.idle) - 1
		c := b.idle[last]
		b.idle[last], b.idle = nil, b.idle[:last]
		c.state = between
		if c.clock.Stop() {
			return c, true
		}
		b.drop(c) // its time is just over
	}
	return nil, false
}

func (b *backend) dial(ctx context.Context) (*conn, error) {
	raw, err := b.proxy.dialer.DialContext(ctx, "tcp", b.host)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, &DialError{err}
	}
	return newConn(raw, b), nil
}

// begin gives c to x, whose server may take so long. It is not ok if the server went out of service.
func (b *backend) begin(c *conn, x *exchange, timeout time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		b.drop(c)
		return false
	}
	c.state, c.serves = busy, x
	c.clock.Reset(timeout)
	b.busy[c] = struct{}{}
	return true
}

// end takes c back, and answers why it was cut, if it was.
func (b *backend) end(c *conn, reusable bool) (cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.busy, c)
	c.serves = nil
	stopped := c.clock.Stop() || c.untimed
	if !reusable || !stopped || c.cause != nil || b.gone || len(b.idle) == idleConns {
		b.drop(c)
		return c.cause
	}
	c.state, c.reused = idle, true
	c.clock.Reset(idleTimeout)
	b.idle = append(b.idle, c)
	return nil
}

// cut ends whatever call c serves.
func (b *backend) cut(c *conn, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.state == busy {
		c.cut(cause)
	}
}

// tick is the end of a connection's time, idle or busy.
func (b *backend) tick(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch c.state {
	case idle:
		for i, other := range b.idle {
			if other == c {
				b.idle = append(b.idle[:i], b.idle[i+1:]...)
				break
			}
		}
		b.drop(c)
	case busy:
		c.cut(ErrTimeout)
	case between, dead:
	}
}

// untime lets the call on c take as long as it likes. It is not ok if its time is over.
func (b *backend) untime(c *conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.untimed = c.cause == nil && c.clock.Stop()
	return c.untimed
}

// retire ends all calls, for the server is out of service.
func (b *backend) retire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	for _, c := range b.idle {
		c.clock.Stop()
		b.drop(c)
	}
	b.idle = nil
	for call := range b.busy {
		call.cut(ErrGone)
	}
}

// join registers a call that has a connection of another kind. It is not ok if the server went out of service.
func (b *backend) join(call cutter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return false
	}
	b.busy[call] = struct{}{}
	return true
}

func (b *backend) leave(call cutter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.busy, call)
}

// drop is called with the lock held.
func (b *backend) drop(c *conn) {
	c.state = dead
	c.clock.Stop()
	_ = c.Close() // nothing more is expected of it
}
