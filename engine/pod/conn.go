package pod

import (
	"net"
	"sync"
)

// conn is a connection to a pod that knows whether anything of a call went out on it.
type conn struct {
	net.Conn

	mu     sync.Mutex
	sent   int64 // bytes that the kernel took or may be taking
	sealed bool
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.begin(len(p)) {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(p)
	if n < len(p) {
		c.takeBack(len(p) - n)
	}
	return n, err
}

// begin counts bytes before they are written: seen from outside, a write under way may have reached the pod.
func (c *conn) begin(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed {
		return false
	}
	c.sent += int64(n)
	return true
}

func (c *conn) takeBack(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent -= int64(n)
}

func (c *conn) mark() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

// seal lets nothing more out and reports whether anything went out since the mark, so the answer stays true.
func (c *conn) seal(since int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	return c.sent > since
}
