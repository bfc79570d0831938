package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/gateway"
	"dodil.io/ignite/gateway/auth"
	"dodil.io/ignite/proto/openapi"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

const (
	testDomain  = "apps.test"
	testPayload = 4 << 20
	testCode    = 2 << 20
)

// setup is a gateway with both listeners, over a NATS server of its own. What an engine would do is done by the test.
type setup struct {
	server *streamtest.Server
	nats   *nats.Conn
	store  *store.Store
	stream *stream.Stream
	pods   *pods
	log    *buffer
	key    auth.Key
	// burning makes every sync of the disk fail.
	burning atomic.Bool
	// syncs counts them.
	syncs atomic.Int64
	// api is the HTTP listener's "host:port", client a connection of acme's owner.
	api    string
	conn   *grpc.ClientConn
	client ignitev1.ComputeServiceClient
	config gateway.Config
	// stop ends Serve's context, stopped is closed when Serve returned.
	stop    context.CancelFunc
	stopped chan struct{}
}

// start serves a gateway until the test ends; change may alter its configuration.
func start(t testing.TB, change ...func(*gateway.Config)) *setup {
	t.Helper()
	return startQueueing(t, 256<<20, change...)
}

// startQuiet is start for what is measured: without a log, and with a queue that does not fill up.
func startQuiet(t testing.TB) *setup {
	t.Helper()
	return startQueueing(t, 8<<30, func(c *gateway.Config) { c.Logger, c.Verifier = nil, auth.Cached(c.Verifier, 16) })
}

// startQueueing is start with a queue of so many bytes.
func startQueueing(t testing.TB, queue int64, change ...func(*gateway.Config)) *setup {
	t.Helper()
	return startSized(t, queue, 4<<30, change...)
}

// startSized is start with a queue and buckets of so many bytes.
func startSized(t testing.TB, queue, buckets int64, change ...func(*gateway.Config)) *setup {
	t.Helper()
	server := streamtest.Start(t)
	s := &setup{server: server, nats: server.Conn, pods: &pods{apps: map[store.AppRef]*url.URL{}}, log: &buffer{out: t.Output()}, stopped: make(chan struct{})}
	t.Cleanup(s.log.close)
	s.store = must(store.Open(t.Context(), store.Options{Conn: server.Conn, Sync: s.syncing(server.Sync), MaxBytes: buckets}))
	t.Cleanup(func() { _ = s.store.Close() })
	s.stream = must(stream.Open(t.Context(), stream.Options{Conn: server.Conn, MaxWorkBytes: queue, MaxOutputBytes: 256 << 20}))
	t.Cleanup(func() { _ = s.stream.Close() })
	s.key = must(auth.LoadOrCreateKey(filepath.Join(t.TempDir(), "key")))
	config := gateway.Config{
		Store: s.store, Stream: s.stream, Dispatcher: s.pods, Builder: builder{}, Verifier: auth.NewStatic(s.key),
		BaseDomain: testDomain, MaxPayloadBytes: testPayload, MaxCodeBytes: testCode, DrainTime: 10 * time.Second,
		Version: "1.2.3", OpenAPI: openapi.Document,
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&config)
	}
	s.config = config
	s.serve(t, must(gateway.New(config)))
	return s
}

func (s *setup) syncing(sync func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		s.syncs.Add(1)
		if s.burning.Load() {
			return errors.New("the disk is on fire")
		}
		return sync(ctx)
	}
}

func (s *setup) serve(t testing.TB, g *gateway.Gateway) {
	t.Helper()
	grpcListener := must(net.Listen("tcp", "127.0.0.1:0"))
	httpListener := must(net.Listen("tcp", "127.0.0.1:0"))
	s.api = httpListener.Addr().String()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s.stop = stop
	go func() {
		defer close(s.stopped)
		if err := g.Serve(ctx, grpcListener, httpListener); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	s.conn = must(grpc.NewClient(grpcListener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20))))
	s.client = ignitev1.NewComputeServiceClient(s.conn)
	t.Cleanup(func() {
		_ = s.conn.Close()
		stop()
		<-s.stopped
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// token is of a member of org; without scopes it has all.
func (s *setup) token(org string, scopes ...string) string {
	if len(scopes) == 0 {
		scopes = auth.AllScopes()
	}
	return must(auth.Sign(s.key, auth.TokenRequest{Org: org, OrgID: org + "-id", Scopes: scopes, TTL: time.Hour}, time.Now()))
}

// as is a context for gRPC calls of a member of org.
func (s *setup) as(t testing.TB, org string, scopes ...string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token(org, scopes...))
}

// publish makes an app with one version whose pods are handler.
func (s *setup) publish(t testing.TB, org, name string, handler http.Handler) store.AppRef {
	t.Helper()
	ctx := s.as(t, org)
	code := &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Compile{Compile: &ignitev1.CompileSource{
		Runtime:    &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Python{Python: &ignitev1.PythonRuntime{}}},
		SourceCode: []byte("archive of " + name),
	}}}
	must(s.client.CreateApp(ctx, &ignitev1.CreateAppRequest{OrganizationName: org, Name: name, Code: code}))
	must(s.client.PublishDraft(ctx, &ignitev1.PublishDraftRequest{OrganizationName: org, AppName: name}))
	ref := store.AppRef{Org: org, Name: name}
	s.pods.serve(t, ref, handler)
	return ref
}

// do makes an HTTP request to the API with a token of acme.
func (s *setup) do(t testing.TB, method, path, body string, change ...func(*http.Request)) reply {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), method, "http://"+s.api+path, strings.NewReader(body)))
	r.Header.Set("Authorization", "Bearer "+s.token("acme"))
	for _, c := range change {
		c(r)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return reply{response}
}

// reply is an answer whose body is closed with the test.
type reply struct{ *http.Response }

// say writes to somebody who may be gone.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

func readAll(t testing.TB, response reply) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	return string(body)
}

// problem is an error's body.
type problem struct {
	Code    codes.Code
	Message string
	Details []map[string]any
}

// wantProblem checks that an answer is an error in JSON.
func wantProblem(t testing.TB, response reply, httpStatus int, code codes.Code, words ...string) problem {
	t.Helper()
	body := readAll(t, response)
	var p problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("answer %d %q is no JSON: %v", response.StatusCode, body, err)
	}
	if response.StatusCode != httpStatus || p.Code != code || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("answer is %d (%s) with code %v, want %d with %v: %s",
			response.StatusCode, response.Header.Get("Content-Type"), p.Code, httpStatus, code, body)
	}
	for _, word := range words {
		if !strings.Contains(p.Message, word) {
			t.Errorf("message %q lacks %q", p.Message, word)
		}
	}
	return p
}

// wantCode checks a gRPC error.
func wantCode(t testing.TB, err error, code codes.Code, words ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("error is %v, want %v", err, code)
	}
	for _, word := range words {
		if !strings.Contains(status.Convert(err).Message(), word) {
			t.Errorf("message %q lacks %q", status.Convert(err).Message(), word)
		}
	}
}

// pods is a Dispatcher with one pod for each app, always ready.
type pods struct {
	mu   sync.Mutex
	apps map[store.AppRef]*url.URL
	// fail is answered instead of a pod.
	fail error
	// ports are where pods serve more than one, by app and port.
	ports map[store.AppRef]map[uint32]*url.URL
	// gone is every target's OutOfService.
	gone chan struct{}
	// holding is called before a pod is handed out.
	holding func(context.Context) error
	// tried are the versions that were tried.
	tried []store.Version
}

func (p *pods) serve(t testing.TB, ref store.AppRef, handler http.Handler) {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apps[ref] = must(url.Parse(server.URL))
}

func (p *pods) set(change func(*pods)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *pods) Do(ctx context.Context, ref store.AppRef, _ int64, fn func(pod.Target) error) error {
	p.mu.Lock()
	addr, ports, fail, gone, holding := p.apps[ref], p.ports[ref], p.fail, p.gone, p.holding
	p.mu.Unlock()
	if fail != nil {
		return fail
	}
	if holding != nil {
		if err := holding(ctx); err != nil {
			return err
		}
	}
	if addr == nil {
		return pod.ErrAppGone
	}
	target := pod.Target{Addr: addr, Pod: "pod-1", Version: 1, OutOfService: gone}
	if ports != nil {
		target.AddrOf = func(port uint32) *url.URL { return ports[port] }
	}
	return fn(target)
}

// servePort is serve for one port of an app that has several.
func (p *pods) servePort(t testing.TB, ref store.AppRef, port uint32, handler http.Handler) {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	p.set(func(p *pods) {
		if p.ports == nil {
			p.ports = map[store.AppRef]map[uint32]*url.URL{}
		}
		if p.ports[ref] == nil {
			p.ports[ref] = map[uint32]*url.URL{}
		}
		p.ports[ref][port] = must(url.Parse(server.URL))
	})
}

func (p *pods) Try(ctx context.Context, v store.Version, fn func(pod.Target) error) ([]string, error) {
	p.set(func(p *pods) { p.tried = append(p.tried, v) })
	return []string{"started"}, p.Do(ctx, v.AppRef, 0, fn)
}

// builder takes every archive but those that say they are bad, and fails to compile those that say so.
type builder struct {
	// printing is called while something is built.
	printing func(lines io.Writer)
}

func (builder) Check(_ store.Code, archive []byte) error {
	if strings.HasPrefix(string(archive), "bad") {
		return errBadArchive
	}
	return nil
}

func (builder) NeedsBuild(_ context.Context, _ store.Code, archive []byte) (bool, error) {
	return bytes.HasPrefix(archive, []byte("b")), nil
}

func (b builder) Build(_ context.Context, _ store.Code, archive []byte, lines io.Writer) ([]byte, string, error) {
	if b.printing != nil {
		b.printing(lines)
	}
	switch {
	case strings.HasPrefix(string(archive), "broken"):
		return nil, "compiling\nline 1: oops\n", errBroken
	case strings.HasPrefix(string(archive), "built"):
		return []byte("artifact"), "compiled\n", nil
	default:
		return nil, "", nil
	}
}

// buffer keeps a log, and shows it with the test.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
	out  io.Writer
}

func (b *buffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(line)
	return b.out.Write(line)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *buffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out = io.Discard
}
