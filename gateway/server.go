package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/gateway/auth"
	"dodil.io/ignite/gateway/proxy"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// Config says what a Gateway works with. The zero value of every field that is not a dependency works.
type Config struct {
	Store      *store.Store
	Stream     *stream.Stream
	Dispatcher Dispatcher
	Builder    Builder
	Verifier   auth.Verifier
	// BaseDomain is what apps' host names end in; empty means ignite.localhost.
	BaseDomain string
	// PublicScheme and PublicPort are how apps are reached from outside; empty and 0 mean http, or https with TLS, and the HTTP
	// listener's port.
	PublicScheme string
	PublicPort   int
	// MaxPayloadBytes bounds the body of an invocation, MaxCodeBytes an archive; 0 means 64 MiB each.
	MaxPayloadBytes, MaxCodeBytes int64
	// ColdStartBudget is how long a call may wait for a pod, beside the app's own timeout; 0 means 600 s.
	ColdStartBudget time.Duration
	// DrainTime is how long running calls may take after Serve's context ended; 0 means 30 s.
	DrainTime time.Duration
	// MaxReplicas and LeastScaledown are the engines' bounds of what an app may ask for, to be said to who asks; 0 means 5 and 30 s.
	MaxReplicas    uint32
	LeastScaledown time.Duration
	// Ready says why nothing can be accepted now, beside that the server stops; nil is always ready.
	Ready func() error
	// Version of the server, for HealthCheck.
	Version string
	// OpenAPI is served at /openapi.json.
	OpenAPI []byte
	// Metrics is served at /metrics; nil is not found.
	Metrics http.Handler
	// Registry takes the gateway's own metrics; nil keeps them to itself.
	Registry prometheus.Registerer
	// TLS encrypts both listeners; nil does not.
	TLS *tls.Config
	// Reached is called at every boundary between two effects (see boundaries.go), for tests that end the process there; nil is nothing.
	Reached func(Boundary)
	Logger  *slog.Logger
}

// Bounds and defaults of Config.
const (
	defaultBaseDomain  = "ignite.localhost"
	defaultMaxBytes    = 64 << 20
	mostBytes          = 1 << 30
	defaultColdStart   = 600 * time.Second
	defaultDrain       = 30 * time.Second
	defaultReplicaCap  = 5
	defaultScaledown   = 30 * time.Second
	maxHTTPHead        = 1 << 20
	readHeaderTimeout  = 10 * time.Second
	idleConnectionTime = 2 * time.Minute
	// answerTime is for HTTP calls that were cut before their answer began, to say so.
	answerTime = time.Second
)

func (c Config) withDefaults() Config {
	c.BaseDomain = cmp.Or(c.BaseDomain, defaultBaseDomain)
	if c.TLS != nil {
		c.PublicScheme = cmp.Or(c.PublicScheme, "https")
	}
	c.PublicScheme = cmp.Or(c.PublicScheme, "http")
	c.MaxPayloadBytes = cmp.Or(c.MaxPayloadBytes, defaultMaxBytes)
	c.MaxCodeBytes = cmp.Or(c.MaxCodeBytes, defaultMaxBytes)
	c.ColdStartBudget = cmp.Or(c.ColdStartBudget, defaultColdStart)
	c.DrainTime = cmp.Or(c.DrainTime, defaultDrain)
	c.MaxReplicas = cmp.Or(c.MaxReplicas, defaultReplicaCap)
	c.LeastScaledown = cmp.Or(c.LeastScaledown, defaultScaledown)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Reached == nil {
		c.Reached = func(Boundary) {}
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	return c
}

// Validate answers all faults at once, each with the name of its field.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.Store != nil, "Store is missing")
	check(c.Stream != nil, "Stream is missing")
	check(c.Dispatcher != nil, "Dispatcher is missing")
	check(c.Builder != nil, "Builder is missing")
	check(c.Verifier != nil, "Verifier is missing")
	check(c.BaseDomain == "" || store.ValidName(c.BaseDomain), "BaseDomain %q is not a domain in lower case", c.BaseDomain)
	check(c.PublicScheme == "" || c.PublicScheme == "http" || c.PublicScheme == "https", "PublicScheme %q is neither http nor https", c.PublicScheme)
	check(c.PublicPort >= 0 && c.PublicPort <= 65535, "PublicPort %d is not a port", c.PublicPort)
	check(c.MaxPayloadBytes >= 0 && c.MaxPayloadBytes <= mostBytes, "MaxPayloadBytes %d is not 0 to %d", c.MaxPayloadBytes, mostBytes)
	check(c.MaxCodeBytes >= 0 && c.MaxCodeBytes <= mostBytes, "MaxCodeBytes %d is not 0 to %d", c.MaxCodeBytes, mostBytes)
	check(c.ColdStartBudget >= 0, "ColdStartBudget %v is negative", c.ColdStartBudget)
	check(c.DrainTime >= 0, "DrainTime %v is negative", c.DrainTime)
	check(c.LeastScaledown >= 0, "LeastScaledown %v is negative", c.LeastScaledown)
	return errors.Join(faults...)
}

// Gateway is both listeners and what stands behind them.
type Gateway struct {
	guard    *guard
	service  *service
	health   *health.Server
	proxy    *proxy.Proxy
	tally    *tally
	handler  http.Handler
	stopping atomic.Bool
}

// New checks cfg; it does no I/O.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	cfg = cfg.withDefaults()
	g := &Gateway{
		guard:   &guard{verifier: cfg.Verifier, log: cfg.Logger},
		service: &service{cfg: cfg, log: cfg.Logger, pods: pod.NewClient(), halt: &halt{}},
		health:  newHealth(),
		proxy:   proxy.New(),
	}
	var err error
	if g.tally, err = newTally(cfg); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	handler, err := g.newHTTP()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.handler = handler
	return g, nil
}

// Serve answers calls on both listeners until ctx ends, then stops as the package comment says. It closes the listeners. It is called once.
func (g *Gateway) Serve(ctx context.Context, grpcListener, httpListener net.Listener) error {
	g.service.publicPort = g.publicPort(httpListener.Addr())
	// Calls go on when ctx ends, and are cut by another context.
	calls, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	running := &running{}
	grpcServer := g.newGRPC()
	httpServer := g.newHTTPServer(calls, running)
	serving, failed := errgroup.WithContext(ctx)
	serving.Go(func() error { return unlessClosed(grpcServer.Serve(grpcListener)) })
	serving.Go(func() error { return unlessClosed(g.serveHTTP(httpServer, httpListener)) })
	counting, stopCounting := context.WithCancel(context.WithoutCancel(ctx))
	var counter sync.WaitGroup
	counter.Go(func() { g.tally.run(counting) })
	<-failed.Done()
	g.drain(grpcServer, httpServer, running, cut)
	err := serving.Wait()
	g.service.begun.Wait()
	g.service.pods.Close()
	g.proxy.Close()
	stopCounting()
	counter.Wait()
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// newHTTPServer answers whatever HTTP there is: 1.1, 2 over TLS, and 2 in the clear to who knows beforehand that it is spoken.
func (g *Gateway) newHTTPServer(calls context.Context, running *running) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(g.service.cfg.TLS == nil)
	return &http.Server{
		Handler:           running.handler(g.handler),
		BaseContext:       func(net.Listener) context.Context { return calls },
		Protocols:         &protocols,
		TLSConfig:         g.service.cfg.TLS.Clone(),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleConnectionTime,
		MaxHeaderBytes:    maxHTTPHead,
		ErrorLog:          slog.NewLogLogger(g.service.log.Handler(), slog.LevelDebug),
	}
}

func (g *Gateway) serveHTTP(server *http.Server, listener net.Listener) error {
	if server.TLSConfig == nil {
		return server.Serve(listener)
	}
	return server.ServeTLS(listener, "", "")
}

// unlessClosed forgives a server that it was stopped. grpc-go's says so only if that was before it began to serve.
func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// drain stops both servers, and returns when no call runs any more. The HTTP listener stays open as long as calls run, for
// probes: everything else is told to go elsewhere.
func (g *Gateway) drain(grpcServer *grpc.Server, httpServer *http.Server, running *running, cut context.CancelCauseFunc) {
	g.stopping.Store(true)
	g.health.Shutdown()
	g.service.halt.now()
	ctx, cancel := context.WithTimeout(context.Background(), g.service.cfg.DrainTime)
	defer cancel()
	drained := make(chan struct{})
	var cutting, draining sync.WaitGroup
	cutting.Go(func() {
		select {
		case <-ctx.Done():
			cut(errStopping)
			grpcServer.Stop()
			within(answerTime, drained)
			_ = httpServer.Close() // what it cannot close ends with its call
		case <-drained:
		}
	})
	draining.Go(grpcServer.GracefulStop)
	draining.Go(func() {
		running.wait()
		// The answer of a call that has returned, as those do that are cut, may not be sent yet. Shutdown waits for that.
		sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
		defer cancel()
		_ = httpServer.Shutdown(sending) // that the time is up is no error here
		running.wait()
	})
	draining.Wait()
	close(drained)
	cutting.Wait()
}

// within waits for done, but not longer than limit.
func within(limit time.Duration, done <-chan struct{}) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// publicPort is what public URLs end in.
func (g *Gateway) publicPort(listener net.Addr) string {
	port := g.service.cfg.PublicPort
	if address, ok := listener.(*net.TCPAddr); ok && port == 0 {
		port = address.Port
	}
	scheme := g.service.cfg.PublicScheme
	if port == 0 || scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		return ""
	}
	return ":" + strconv.Itoa(port)
}
