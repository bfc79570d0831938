package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

func TestMain(m *testing.M) {
	// An object store's Put of nats.go 1.55 leaves this goroutine behind, waiting on a nil channel, when the publishing it is to
	// watch has ended before it is scheduled. It holds a few KiB and nothing of ours.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}

// process is what one server process has of its own: connections, store, streams, pods and an engine.
type process struct {
	conn   *nats.Conn
	store  *store.Store
	stream *stream.Stream
	driver *podtest.Memory
	engine *Engine
	// cut ends Run's context; ended is closed when Run has returned.
	cut   context.CancelFunc
	ended chan struct{}
}

// ackWait is how long the queue waits in tests for a worker that says nothing.
const ackWait = time.Second

// newProcess opens a process whose pods serve handler. Its engine does not run yet.
func newProcess(t testing.TB, server *streamtest.Server, handler http.Handler, config Config) *process {
	t.Helper()
	return newPatientProcess(t, server, handler, config, ackWait)
}

// newPatientProcess is newProcess with a queue that waits for as long as ackWait.
func newPatientProcess(t testing.TB, server *streamtest.Server, handler http.Handler, config Config, ackWait time.Duration) *process {
	t.Helper()
	return newProcessOn(t, server.Connect(t), server, handler, config, ackWait)
}

// newProcessOn is newPatientProcess with a connection of the test's own.
func newProcessOn(t testing.TB, conn *nats.Conn, server *streamtest.Server, handler http.Handler, config Config, ackWait time.Duration) *process {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	p := &process{conn: conn, driver: podtest.NewLoopback(podtest.Serving(handler)), ended: make(chan struct{})}
	var err error
	if p.store, err = store.Open(t.Context(), store.Options{Conn: p.conn, Sync: server.Sync, Logger: log}); err != nil {
		t.Fatalf("open store: %v", err)
	}
	if p.stream, err = stream.Open(t.Context(), stream.Options{Conn: p.conn, AckWait: ackWait, Logger: log}); err != nil {
		t.Fatalf("open stream: %v", err)
	}
	config.Store, config.Stream, config.Driver, config.Provisioner = p.store, p.stream, p.driver, inPlace{}
	config.TakeWork, config.Logger = true, log
	if config.Worker == "" {
		config.Worker = "worker-1"
	}
	if p.engine, err = New(config); err != nil {
		t.Fatalf("make engine: %v", err)
	}
	p.engine.worker.renewEvery = ackWait / 4
	t.Cleanup(func() { p.close(t) })
	return p
}

// run starts the engine.
func (p *process) run() *process {
	ctx, cancel := context.WithCancel(context.Background())
	p.cut = cancel
	go func() {
		defer close(p.ended)
		if err := p.engine.Run(ctx); err != nil {
			panic(err)
		}
	}()
	return p
}

// stop ends Run and waits until it has returned.
func (p *process) stop(t testing.TB) {
	t.Helper()
	if p.cut == nil {
		return
	}
	p.cut()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("Run has not returned within %v", patience)
	}
}

func (p *process) close(t testing.TB) {
	p.stop(t)
	if err := p.driver.Close(context.Background()); err != nil {
		t.Errorf("close driver: %v", err)
	}
	_ = p.store.Close() // a test may have closed the connection
	_ = p.stream.Close()
}

// start runs a process of its own server, with a published app.
func start(t testing.TB, handler http.HandlerFunc, config Config) *process {
	t.Helper()
	p := newProcess(t, streamtest.Start(t), handler, config)
	p.publish(t, store.Config{})
	return p.run()
}

// publish makes the app if it is missing, and a version of it.
func (p *process) publish(t testing.TB, config store.Config) {
	t.Helper()
	ctx := t.Context()
	if _, err := p.store.App(ctx, testApp); err != nil {
		if _, err := p.store.CreateApp(ctx, store.App{AppRef: testApp, Config: config}); err != nil {
			t.Fatalf("create app: %v", err)
		}
	}
	app, err := p.store.App(ctx, testApp)
	if err != nil {
		t.Fatalf("read app: %v", err)
	}
	v := store.Version{AppRef: testApp, Incarnation: app.Incarnation, Config: config}
	if _, _, err := p.store.PublishVersion(ctx, v, nil); err != nil {
		t.Fatalf("publish: %v", err)
	}
}

const caller = "caller-org"

// submit does what a gateway does, and answers the execution's id.
func (p *process) submit(t testing.TB, body []byte) string {
	t.Helper()
	id := store.NewExecutionID()
	p.createRecord(t, id, objectOf(id, body))
	p.enqueue(t, id, body)
	return id
}

// objectOf names the payload of a body that is too large for a message.
func objectOf(id string, body []byte) string {
	if len(body) > store.MaxInline {
		return "request." + id
	}
	return ""
}

func (p *process) createRecord(t testing.TB, id, object string) store.Execution {
	t.Helper()
	return p.create(t, store.Execution{ID: id, RequestObject: object})
}

// create stores a record with what every one has filled in.
func (p *process) create(t testing.TB, e store.Execution) store.Execution {
	t.Helper()
	e.Org, e.App, e.Version, e.CreatedAt = caller, testApp, 1, cmp.Or(e.CreatedAt, time.Now())
	if app, err := p.store.App(t.Context(), testApp); err == nil {
		e.Incarnation = app.Incarnation
	}
	record, err := p.store.CreateExecution(t.Context(), e)
	if err != nil {
		t.Fatalf("create record: %v", err)
	}
	return record
}

func (p *process) enqueue(t testing.TB, id string, body []byte) {
	t.Helper()
	head := pod.Head{
		Envelope: pod.Envelope{Path: "/work", Header: http.Header{"X-Custom": {"a", "b"}}},
		Identity: pod.Identity{ExecutionID: id, FunctionID: testApp.String(), OrganizationID: caller},
	}
	if head.Object = objectOf(id, body); head.Object != "" {
		head.ObjectSize = int64(len(body))
		if err := p.store.PutPayload(t.Context(), head.Object, body); err != nil {
			t.Fatalf("put request: %v", err)
		}
		body = nil
	}
	request, err := pod.EncodeHead(head)
	if err != nil {
		t.Fatalf("encode head: %v", err)
	}
	work := stream.Work{Execution: id, Owner: caller, App: stream.App{Org: testApp.Org, Name: testApp.Name}, Request: request, Body: body}
	if err := p.stream.Enqueue(t.Context(), work); err != nil {
		t.Fatalf("enqueue: %v", err)
	}
}

// record reads the record as it is now.
func (p *process) record(t testing.TB, id string) store.Execution {
	t.Helper()
	record, err := p.store.Execution(t.Context(), caller, id)
	if err != nil {
		t.Fatalf("read record: %v", err)
	}
	return record
}

// until follows an execution until its record is as wanted.
func (p *process) until(t testing.TB, id string, wanted func(store.Execution) bool) store.Execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, err := range p.stream.Watch(ctx, id, 0, 0) {
		if err != nil {
			t.Fatalf("watch %s: %v", id, err)
		}
		if record := p.record(t, id); wanted(record) {
			return record
		}
	}
	t.Fatalf("record is not as wanted within %v: %+v", patience, p.record(t, id))
	return store.Execution{}
}

func (p *process) untilEnd(t testing.TB, id string) store.Execution {
	t.Helper()
	return p.until(t, id, func(e store.Execution) bool { return e.Status.Terminal() })
}

// untilNoWork waits until every job of the app was acknowledged.
func (p *process) untilNoWork(t testing.TB) {
	t.Helper()
	queue, err := p.stream.Queue(t.Context(), stream.App{Org: testApp.Org, Name: testApp.Name})
	if err != nil {
		t.Fatalf("open queue: %v", err)
	}
	defer func() {
		if err := queue.Close(); err != nil {
			t.Errorf("close queue: %v", err)
		}
	}()
	deadline := time.Now().Add(patience)
	for {
		empty, err := queue.Empty(t.Context())
		if err != nil {
			t.Fatalf("look for work: %v", err)
		}
		if empty {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("work is left after %v", patience)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// untilNoPayload waits until a large body was deleted.
func (p *process) untilNoPayload(t testing.TB, name string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		_, err := p.store.Payload(t.Context(), name)
		if errors.Is(err, store.ErrNotFound) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("payload %s is still there after %v, error %v", name, patience, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// chunks are the pieces of output of one attempt that are stored.
func (p *process) chunks(t testing.TB, id string, attempt uint32, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var chunks []string
	for event, err := range p.stream.Watch(ctx, id, attempt, 0) {
		if err != nil {
			t.Fatalf("watch %s: %v", id, err)
		}
		if event.Chunk != nil {
			chunks = append(chunks, string(event.Chunk.Data))
		}
		if len(chunks) == n {
			break
		}
	}
	return chunks
}

// expect checks how an execution ended.
func expect(t testing.TB, e store.Execution, status store.Status, code string) {
	t.Helper()
	got := ""
	if e.Error != nil {
		got = e.Error.Code
	}
	if e.Status != status || got != code {
		t.Errorf("execution ended %s, error %+v; want %s, code %q", e.Status, e.Error, status, code)
	}
}

// echo answers the request's body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(body)
}

// counter counts the calls that pods get, by execution.
type counter struct {
	mu    sync.Mutex
	calls map[string]int
}

func (c *counter) count(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = make(map[string]int)
	}
	c.calls[r.Header.Get(pod.HeaderExecutionID)]++
}

func (c *counter) of(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[id]
}

func large(n int) []byte { return bytes.Repeat([]byte("0123456789abcdef"), n/16) }
