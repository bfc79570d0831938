package embed

import (
	"net"
	"sync"
	"time"
)

const (
	// pipeBuffer is how much a connection within the process holds that the server has not read; beyond it writing waits.
	pipeBuffer = 1 << 20
	// pipeFlush bounds how long closing such a connection waits for the server to read the rest.
	pipeFlush = time.Second
)

// pipe is a connection to the server within the process whose writes do not wait for the server to read, as a socket's do not.
//
// The server hands out one end of a net.Pipe, which has no buffer at all, and the client library writes to it under the lock
// that every publisher needs. Without a buffer all publishers wait for the server's reader to be scheduled.
type pipe struct {
	net.Conn
	drained sync.WaitGroup

	mu sync.Mutex
	// changed is signalled when bytes come, go, or no longer can.
	changed sync.Cond
	waiting []byte
	closed  bool
	err     error
}

func newPipe(conn net.Conn) *pipe {
	p := &pipe{Conn: conn}
	p.changed.L = &p.mu
	p.drained.Go(p.drain)
	return p
}

// Write returns once data is held; an error of the connection shows in a later Write.
func (p *pipe) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.err == nil && !p.closed && len(p.waiting) >= pipeBuffer {
		p.changed.Wait()
	}
	switch {
	case p.err != nil:
		return 0, p.err
	case p.closed:
		return 0, net.ErrClosed
	}
	p.waiting = append(p.waiting, data...)
	p.changed.Broadcast()
	return len(data), nil
}

// Read ends the connection with its first error: a client that gives up a connection within its handshake does not close it.
func (p *pipe) Read(data []byte) (int, error) {
	n, err := p.Conn.Read(data)
	if err != nil {
		p.fail(err)
	}
	return n, err
}

// drain moves what is held to the server until the connection is closed or fails. Two buffers take turns.
func (p *pipe) drain() {
	var spare []byte
	for {
		data, ok := p.take(spare[:0])
		if !ok {
			return
		}
		_, err := p.Conn.Write(data)
		if err != nil {
			p.fail(err)
			return
		}
		spare = data
		if cap(spare) > 2*pipeBuffer {
			spare = nil // grown by one large message
		}
	}
}

// take waits for bytes and leaves spare in their place.
func (p *pipe) take(spare []byte) (data []byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) == 0 && !p.closed && p.err == nil {
		p.changed.Wait()
	}
	if len(p.waiting) == 0 || p.err != nil {
		return nil, false
	}
	data, p.waiting = p.waiting, spare
	p.changed.Broadcast()
	return data, true
}

func (p *pipe) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	p.changed.Broadcast()
}

// Close lets the server read what was written before, for a moment, and ends the connection.
func (p *pipe) Close() error {
	p.mu.Lock()
	p.closed = true
	p.changed.Broadcast()
	p.mu.Unlock()
	// The deadline fails a Write that is stuck; the connection is of no use afterwards, so its own error says nothing.
	_ = p.SetWriteDeadline(time.Now().Add(pipeFlush))
	p.drained.Wait()
	return p.Conn.Close()
}
