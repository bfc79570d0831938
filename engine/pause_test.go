package engine

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

// pausable makes connections to a server that stand still while they are paused, as those of a process that is stopped.
type pausable struct {
	*streamtest.Server
	mu sync.Mutex
	// paused is closed when the pause is over, nil while there is none.
	paused chan struct{}
}

func (p *pausable) InProcessConn() (net.Conn, error) {
	conn, err := p.Server.InProcessConn()
	return &pausableConn{Conn: conn, pause: p}, err
}

func (p *pausable) connect(t testing.TB) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(p))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func (p *pausable) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = make(chan struct{})
}

func (p *pausable) goOn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.paused)
	p.paused = nil
}

func (p *pausable) wait() {
	p.mu.Lock()
	paused := p.paused
	p.mu.Unlock()
	if paused != nil {
		<-paused
	}
}

type pausableConn struct {
	net.Conn
	pause *pausable
}

// Read keeps back what came during the pause, too.
func (c *pausableConn) Read(data []byte) (int, error) {
	n, err := c.Conn.Read(data)
	c.pause.wait()
	return n, err
}

func (c *pausableConn) Write(data []byte) (int, error) {
	c.pause.wait()
	return c.Conn.Write(data)
}

func TestPausedWorkerChangesNothingOfTheAttemptThatReplacedIt(t *testing.T) {
	t.Parallel()
	server := &pausable{Server: streamtest.Start(t)}
	goOn, release := make(chan struct{}), make(chan struct{})
	left := make(chan struct{}, 1)
	first := newProcessOn(t, server.connect(t), server.Server, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pieces(w, "old 0")
		<-goOn
		pieces(w, "old 1", "old 2")
		<-r.Context().Done()
		left <- struct{}{}
	}), Config{Worker: "first"}, ackWait)
	first.publish(t, store.Config{})
	second := newProcess(t, server.Server, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		pieces(w, "new 0")
		<-release
		pieces(w, "new 1")
	}), Config{Worker: "second"})
	id := second.submit(t, nil)
	first.run()
	second.chunks(t, id, 1, 1)

	server.pause()
	second.run()
	second.chunks(t, id, 2, 1)
	server.goOn()
	close(goOn)
	receive(t, left, "end of the paused worker's call")
	close(release)

	e := second.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if e.Attempt != 2 || e.Worker != "second" || string(e.Result) != "new 0new 1" || e.Chunks != 2 || e.PlatformFailures != 1 {
		t.Errorf("record %+v, result %q", e, e.Result)
	}
	if chunks := second.chunks(t, id, 2, 2); fmt.Sprint(chunks) != "[new 0 new 1]" {
		t.Errorf("output of the second attempt is %q", chunks)
	}
	second.untilNoWork(t)
	first.stop(t)
	if after := second.record(t, id); after.Revision != e.Revision {
		t.Errorf("record was written to %+v", after)
	}
}

// The worker that was paused right after its pod had answered finds that it is too late.
func TestPausedWorkerDoesNotSettle(t *testing.T) {
	t.Parallel()
	server := &pausable{Server: streamtest.Start(t)}
	answered := make(chan struct{}, 1)
	first := newProcessOn(t, server.connect(t), server.Server, answering(200), Config{Worker: "first", Reached: func(b Boundary) {
		if b == AnswerRead {
			server.pause()
			answered <- struct{}{}
		}
	}}, ackWait)
	first.publish(t, store.Config{})
	second := newProcess(t, server.Server, http.HandlerFunc(echo), Config{Worker: "second"})
	id := second.submit(t, []byte("second"))
	first.run()
	receive(t, answered, "answer")
	second.run()
	e := second.untilEnd(t, id)
	server.goOn()
	first.stop(t)
	expect(t, e, store.Completed, "")
	if after := second.record(t, id); after.Revision != e.Revision || string(after.Result) != "second" || after.Attempt != 2 {
		t.Errorf("record %+v, result %q", after, after.Result)
	}
	second.untilNoWork(t)
}

// pieces writes each as a chunk of its own.
func pieces(w http.ResponseWriter, texts ...string) {
	for _, text := range texts {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
	}
}
