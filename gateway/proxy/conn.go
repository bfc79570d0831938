package proxy

import (
	"bufio"
	"errors"
	"math"
	"net"
	"syscall"
	"time"
)

// state is what a connection does; its backend's lock guards it.
type state uint8

const (
	between state = iota // in the hands of whoever took or made it
	idle
	busy
	dead
)

// conn is a connection to a server. It serves one exchange at a time.
type conn struct {
	net.Conn
	home *backend
	// access reaches the socket; nil if there is none.
	access syscall.RawConn
	reader *bufio.Reader
	writer *bufio.Writer
	// headLeft is what may still be read of heads; without end while a body is read.
	headLeft int64

	// The rest is guarded by the backend's lock, but reused, which only its user looks at.
	reused bool
	state  state
	clock  *time.Timer
	// untimed says that the clock was stopped for good.
	untimed bool
	serves  *exchange
	// cause is why the call was cut.
	cause error
}

var errHeadTooLarge = errors.New("the head of the answer is too large")

const noEnd = math.MaxInt64

func newConn(raw net.Conn, home *backend) *conn {
	c := &conn{Conn: raw, home: home, headLeft: noEnd}
	if socket, ok := raw.(syscall.Conn); ok {
		c.access, _ = socket.SyscallConn() // it fails for a connection that is closed, which shows by itself
	}
	c.reader, c.writer = bufio.NewReader(c), bufio.NewWriter(raw)
	c.clock = time.AfterFunc(time.Hour, func() { home.tick(c) })
	return c
}

// Read bounds heads.
func (c *conn) Read(p []byte) (int, error) {
	if c.headLeft == noEnd {
		return c.Conn.Read(p)
	}
	if c.headLeft <= 0 {
		return 0, errHeadTooLarge
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.headLeft)])
	c.headLeft -= int64(n)
	return n, err
}

// cut is called with the backend's lock held. It wakes whoever reads or writes the connection, and whoever writes to the caller.
func (c *conn) cut(cause error) {
	if c.cause != nil {
		return
	}
	c.cause = cause
	_ = c.SetDeadline(past()) // it fails if the connection is closed, and then nobody is to be woken
	if c.serves.begun {
		c.serves.stopWriting()
	}
}

// past is a deadline that is over.
func past() time.Time { return time.Unix(1, 0) }
