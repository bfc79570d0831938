package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
)

const (
	// flushInterval is for answers whose length is known; those of unknown length and event streams are flushed at once.
	flushInterval = 10 * time.Millisecond
	dialTimeout   = 5 * time.Second
	// idleConns are kept for each pod, as many as the calls that one pod takes by default, and for less time than common
	// servers keep them, so that it is not the pod that hangs up just when a call goes out.
	idleConns   = 80
	idleTimeout = 1500 * time.Millisecond
	maxPodHead  = 1 << 20
)

// passage is one request on its way through to a pod and back.
type passage struct {
	w        http.ResponseWriter
	r        *http.Request
	proxy    *httputil.ReverseProxy
	identity pod.Identity
	// timeout is how long the pod may take. It ends for a connection that is upgraded, which lives as long as both sides want.
	timeout time.Duration
	// limit is the largest request body.
	limit int64

	target pod.Target
	clock  *time.Timer
	// err is why there is no answer.
	err error
	// begun says that the answer's head may be on its way, aborted that the answer broke off.
	begun, aborted bool
}

type passageKey struct{}

func passageOf(ctx context.Context) *passage {
	p, _ := ctx.Value(passageKey{}).(*passage)
	return p
}

// through passes the request to t and the answer back. Only before anything was sent the error is a pod.ErrUnreachable.
func (p *passage) through(ctx context.Context, t pod.Target) error {
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, passageKey{}, p))
	defer cancel(nil)
	p.target, p.err = t, nil
	p.clock = time.AfterFunc(p.timeout, func() { cancel(&pod.TimeoutError{Clock: pod.ClockTotal, Limit: p.timeout}) })
	defer p.clock.Stop()
	served := make(chan struct{})
	var watching sync.WaitGroup
	defer watching.Wait()
	defer close(served)
	watching.Go(func() {
		select {
		case <-t.OutOfService:
			cancel(pod.ErrBroken)
		case <-served:
		}
	})
	p.serve(ctx)
	return p.outcome(ctx)
}

// serve keeps the panic by which ReverseProxy says that an answer broke off: the dispatcher's slot is to be given back first.
func (p *passage) serve(ctx context.Context) {
	defer func() {
		switch broken := recover(); broken {
		case nil:
		case http.ErrAbortHandler:
			p.aborted = true
		default:
			panic(broken)
		}
	}()
	// Without it net/http reads the rest of the request before the answer begins. It fails where there is nothing to enable.
	_ = http.NewResponseController(p.w).EnableFullDuplex()
	r := p.r.WithContext(ctx)
	if r.ContentLength < 0 {
		r.Body = http.MaxBytesReader(p.w, r.Body, p.limit)
	}
	p.proxy.ServeHTTP(p.w, r)
}

func (p *passage) outcome(ctx context.Context) error {
	failed := p.err
	if failed == nil && !p.aborted {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if _, ok := errors.AsType[*http.MaxBytesError](failed); ok {
		return failed
	}
	if dial, ok := errors.AsType[*dialError](failed); ok {
		return fmt.Errorf("pod %s: %w: %w", p.target.Pod, pod.ErrUnreachable, dial.err)
	}
	if failed == nil {
		return fmt.Errorf("pod %s: %w", p.target.Pod, pod.ErrBroken)
	}
	return fmt.Errorf("pod %s: %w: %w", p.target.Pod, pod.ErrBroken, failed)
}

// dialError says that no connection was made, so nothing was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }

// newProxy passes requests of a passage on.
func newProxy(log *slog.Logger) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      newTransport(),
		FlushInterval:  flushInterval,
		BufferPool:     copyBuffers{},
		ModifyResponse: begin,
		ErrorHandler:   func(_ http.ResponseWriter, r *http.Request, err error) { passageOf(r.Context()).err = err },
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		Proxy: nil, // a pod is never behind one, whatever the environment says
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, &dialError{err}
			}
			return conn, nil
		},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxPodHead,
	}
}

// copyBuffers lends readBuffers to a ReverseProxy.
type copyBuffers struct{}

func (copyBuffers) Get() []byte { return readBuffers.Get().(*[readSize]byte)[:] }

func (copyBuffers) Put(buffer []byte) { readBuffers.Put((*[readSize]byte)(buffer)) }

// begin is told of an answer's head before anything of it is written.
func begin(response *http.Response) error {
	p := passageOf(response.Request.Context())
	p.begun = true
	if response.StatusCode == http.StatusSwitchingProtocols {
		p.clock.Stop()
	}
	return nil
}

// rewrite leaves a request as it came but for the connection's own headers, the token, and who we say is calling.
func rewrite(r *httputil.ProxyRequest) {
	p := passageOf(r.In.Context())
	out := r.Out
	out.URL.Scheme, out.URL.Host = p.target.Addr.Scheme, p.target.Addr.Host
	out.URL.RawQuery = r.In.URL.RawQuery
	if path, _, _ := strings.Cut(r.In.RequestURI, "?"); strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		out.URL.Opaque = path // byte for byte, where net/url would encode anew
	}
	out.Host = r.In.Host
	out.Trailer = r.In.Trailer // net/http fills it when the body has been read
	out.Header.Del("Authorization")
	out.Header.Del("Expect")
	forwarded(out.Header, r.In)
	stamp(out.Header, p.identity)
}

// forwarded adds us to what proxies before us said.
func forwarded(header http.Header, in *http.Request) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := in.Header[name]; ok {
			header[name] = values
		}
	}
	if address, _, err := net.SplitHostPort(in.RemoteAddr); err == nil {
		header.Set("X-Forwarded-For", strings.Join(append(header["X-Forwarded-For"], address), ", "))
	}
	if header.Get("X-Forwarded-Host") == "" {
		header.Set("X-Forwarded-Host", in.Host)
	}
	if header.Get("X-Forwarded-Proto") == "" {
		header.Set("X-Forwarded-Proto", "http")
	}
}

// stamp sets the four headers that a pod may trust. What a caller sent under these names goes, spelled with underscores too,
// because many servers hand a program both under one name.
func stamp(header http.Header, id pod.Identity) {
	own := map[string]string{
		pod.HeaderExecutionID:    id.ExecutionID,
		pod.HeaderFunctionID:     id.FunctionID,
		pod.HeaderOrganizationID: id.OrganizationID,
		pod.HeaderAttempt:        strconv.FormatUint(uint64(id.Attempt), 10),
	}
	for name := range header {
		if _, ours := own[textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))]; ours {
			delete(header, name)
		}
	}
	for name, value := range own {
		header.Set(name, value)
	}
}
