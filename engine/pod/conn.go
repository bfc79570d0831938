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
	before int64 // of them, those of earlier calls
	sealed bool
}

// Write hides the failure of a call that went out in part. net/http would report it at once, but a pod that refuses a large body answers
// and hangs up without reading it: only reading tells whether there is an answer, and fails as well if there is none.
func (c *conn) Write(p []byte) (int, error) {
	if !c.begin(len(p)) {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(p)
	if err != nil && c.takeBack(len(p)-n) {
		return len(p), nil
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

// takeBack corrects the count and reports whether any byte of the call went out.
func (c *conn) takeBack(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent -= int64(n)
	return c.sent > c.before
}

// take is the begin of another call.
func (c *conn) take() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before = c.sent
}

// seal lets nothing more out and reports whether any byte of the call did, so that the answer stays true.
func (c *conn) seal() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	return c.sent > c.before
}
