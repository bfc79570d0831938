package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// IsGRPC reports calls that only a server of HTTP/2 understands. gRPC for browsers (application/grpc-web) is none of them.
func IsGRPC(r *http.Request) bool {
	if r.ProtoMajor != 2 || len(r.Header["Content-Type"]) != 1 {
		return false
	}
	rest, ok := strings.CutPrefix(r.Header["Content-Type"][0], "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

func (p *Proxy) newHTTP2() *http.Transport {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Proxy:     nil, // a server is never behind one, whatever the environment says
		Protocols: &protocols,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := p.dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, &DialError{err}
			}
			return conn, nil
		},
		DisableCompression:     true,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHead,
	}
}

// stream is a call over HTTP/2.
type stream struct {
	w      http.ResponseWriter
	call   *Call
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	begun bool
	ended bool
}

func (s *stream) cut(cause error) {
	s.cancel(cause)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun && !s.ended {
		_ = http.NewResponseController(s.w).SetWriteDeadline(past()) // it fails if there is nobody to write to
	}
}

func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// serveHTTP2 passes a call on through the transport for HTTP/2.
func (p *Proxy) serveHTTP2(w http.ResponseWriter, r *http.Request, c *Call) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	s := &stream{w: w, call: c, cancel: cancel}
	defer s.end()
	b := p.backend(backendKey{c.Host, c.Gone})
	if !b.join(s) {
		return &DialError{ErrGone}
	}
	defer b.leave(s)
	clock := time.AfterFunc(c.Timeout, func() { s.cut(ErrTimeout) })
	defer clock.Stop()
	err := s.pass(p.http2, outgoing(ctx, r, c))
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return cause
	}
	return err
}

// outgoing is the request as the server is to get it.
func outgoing(ctx context.Context, r *http.Request, c *Call) *http.Request {
	out := &http.Request{
		Method:        r.Method,
		URL:           &url.URL{Scheme: "http", Host: c.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery},
		Host:          r.Host,
		Header:        make(http.Header, len(r.Header)+len(c.Set)),
		Body:          r.Body,
		ContentLength: r.ContentLength,
		Trailer:       r.Trailer,
	}
	eachHeader(r, c, func(name, value string) { out.Header[name] = append(out.Header[name], value) })
	if hasToken(r.Header["Te"], "trailers") {
		out.Header["Te"] = []string{"trailers"}
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // or the transport names itself
	}
	return out.WithContext(ctx)
}

func (s *stream) pass(transport http.RoundTripper, out *http.Request) error {
	response, err := transport.RoundTrip(out)
	if err != nil {
		if dial, ok := errors.AsType[*DialError](err); ok {
			return dial
		}
		return err
	}
	defer func() { _ = response.Body.Close() }() // what it has to say came with the last read
	if err := s.commit(out.Context(), response.StatusCode); err != nil {
		return err
	}
	writeAnswerHead(s.w, response, s.call.Answer)
	if response.ContentLength < 0 {
		if err := flush(s.w); err != nil {
			return &CallerError{err}
		}
	}
	if err := copyBody(s.w, response.Body); err != nil {
		return err
	}
	writeTrailers(s.w, response)
	return nil
}

// commit is the moment after which the answer can only break off.
func (s *stream) commit(ctx context.Context, status int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	s.begun, s.call.Status = true, status
	return nil
}
