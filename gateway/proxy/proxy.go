package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	dialTimeout = 5 * time.Second
	// idleConns are kept for each server, as many as the calls that one pod takes by default, and for less time than common
	// servers keep them, so that it is not the server that hangs up just when a call goes out.
	idleConns   = 80
	idleTimeout = 1500 * time.Millisecond
	// maxHead bounds the heads of an answer, interim ones included.
	maxHead = 1 << 20
)

// What ends a call beside the end of the caller's context.
var (
	// ErrGone says that the server went out of service.
	ErrGone = errors.New("the server went out of service")
	// ErrTimeout says that the call's Timeout is over.
	ErrTimeout = errors.New("the time of the call is over")
)

// DialError says that no connection was made, so nothing was sent.
type DialError struct{ Err error }

func (e *DialError) Error() string { return e.Err.Error() }

func (e *DialError) Unwrap() error { return e.Err }

// CallerError says that the caller's connection failed, or that the caller broke the rules of HTTP in the middle of a body.
type CallerError struct{ Err error }

func (e *CallerError) Error() string { return "caller: " + e.Err.Error() }

func (e *CallerError) Unwrap() error { return e.Err }

// Field is a header field.
type Field struct{ Name, Value string }

// Call says where a request is to go and what to change on the way.
type Call struct {
	// Host is the server's "host:port".
	Host string
	// Gone is closed when the server must not be used any longer; nil is never.
	Gone <-chan struct{}
	// Timeout is how long the server may take. It ends for a connection that is upgraded, which lives as long as both sides want.
	Timeout time.Duration
	// Drop says which of the caller's headers do not go on.
	Drop func(name string) bool
	// Set are headers that the server gets from us.
	Set []Field
	// Answer may change the head of the final answer before it is written; nil leaves it.
	Answer func(status int, header http.Header)

	// Status is that of the final answer once its head is on its way to the caller; 0 before.
	Status int
}

// Proxy passes calls on. Its methods may be called concurrently.
type Proxy struct {
	dialer *net.Dialer
	http2  *http.Transport

	closed   chan struct{}
	watching sync.WaitGroup

	mu       sync.RWMutex
	backends map[backendKey]*backend
}

// New answers a Proxy that has no connection yet.
func New() *Proxy {
	p := &Proxy{
		dialer:   &net.Dialer{Timeout: dialTimeout},
		closed:   make(chan struct{}),
		backends: map[backendKey]*backend{},
	}
	p.http2 = p.newHTTP2()
	return p
}

// Close gives up connections that are idle. It is called once, when no call runs any more.
func (p *Proxy) Close() {
	close(p.closed)
	p.watching.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.backends {
		b.retire()
	}
	p.http2.CloseIdleConnections()
}

// Serve passes r on and the answer to w. It returns nil once the answer was given in full, and then c.Status is that of the answer. When it
// returns an error and c.Status is 0, nothing was written and w is the caller's to use; else the answer broke off. The error is a
// *DialError if nothing was sent, ErrGone, ErrTimeout, the cause of the end of r's context, a *CallerError, or what the server did wrong.
func (p *Proxy) Serve(w http.ResponseWriter, r *http.Request, c *Call) error {
	if IsGRPC(r) {
		return p.serveHTTP2(w, r, c)
	}
	for {
		err := p.serveOnce(w, r, c)
		if !errors.Is(err, errStale) {
			return err
		}
	}
}

// serveOnce makes the call on one connection. errStale means that another may do better.
func (p *Proxy) serveOnce(w http.ResponseWriter, r *http.Request, c *Call) error {
	b := p.backend(backendKey{c.Host, c.Gone})
	conn, err := b.take(r.Context())
	if err != nil {
		return err
	}
	x := &exchange{w: w, r: r, call: c, conn: conn}
	if !b.begin(conn, x, c.Timeout) {
		return &DialError{ErrGone}
	}
	release := context.AfterFunc(r.Context(), func() { b.cut(conn, context.Cause(r.Context())) })
	err = x.run(release)
	if cause := b.end(conn, err == nil && x.reusable); cause != nil && err != nil {
		return cause
	}
	return err
}

// backend answers the one of key, making it if it is missing.
func (p *Proxy) backend(key backendKey) *backend {
	p.mu.RLock()
	b := p.backends[key]
	p.mu.RUnlock()
	if b != nil {
		return b
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if b = p.backends[key]; b == nil {
		b = &backend{proxy: p, host: key.host, busy: map[cutter]struct{}{}}
		p.backends[key] = b
		if key.gone != nil {
			p.watching.Go(func() { p.watch(key, b) })
		}
	}
	return b
}

// watch waits for the end of a server's service, once for all of its calls.
func (p *Proxy) watch(key backendKey, b *backend) {
	select {
	case <-key.gone:
	case <-p.closed:
		return
	}
	p.mu.Lock()
	delete(p.backends, key)
	p.mu.Unlock()
	b.retire()
}
