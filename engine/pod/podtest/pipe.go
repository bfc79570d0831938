package podtest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// pipeNetwork connects by net.Pipe what listens on it by name.
type pipeNetwork struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
	next      int
}

func (n *pipeNetwork) listen() (net.Listener, string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next++
	address := fmt.Sprintf("pod%d:80", n.next)
	l := &pipeListener{address: pipeAddr(address), calls: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() {
		close(l.closed)
		n.remove(address)
	})
	n.listeners[address] = l
	return l, address, nil
}

func (n *pipeNetwork) remove(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.listeners, address)
}

func (n *pipeNetwork) find(address string) (*pipeListener, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, ok := n.listeners[address]
	return l, ok
}

func (n *pipeNetwork) dial(ctx context.Context, _, address string) (net.Conn, error) {
	l, ok := n.find(address)
	if !ok {
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	}
	ours, theirs := net.Pipe()
	select {
	case l.calls <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", address, context.Cause(ctx))
	}
}

// pipeListener is a net.Listener.
type pipeListener struct {
	address pipeAddr
	calls   chan net.Conn
	closed  chan struct{}
	close   func()
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.calls:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.close()
	return nil
}

func (l *pipeListener) Addr() net.Addr { return l.address }

type pipeAddr string

func (a pipeAddr) Network() string { return "pipe" }
func (a pipeAddr) String() string  { return string(a) }
