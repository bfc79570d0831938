// Package streamtest starts a nats-server with JetStream for one test, or a cluster of three.
package streamtest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dodil.io/ignite/stream/embed"
)

// Server is an embedded server that lives as long as its test, on a folder of its own.
type Server struct {
	// Conn is a connection to it, closed at the end of the test.
	Conn *nats.Conn

	options embed.Options

	mu      sync.Mutex
	current *embed.Server
}

// Start answers a server with empty storage. It logs to t and is closed by t.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{options: embed.Options{StoreDir: t.TempDir(), Logger: logger(t)}}
	s.Resume(t)
	t.Cleanup(func() { s.Stop(t) })
	s.Conn = s.Connect(t)
	return s
}

// Connect answers one more connection, as another process would have. It outlives a restart of the server.
func (s *Server) Connect(t testing.TB) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(s), nats.MaxReconnects(-1),
		nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(time.Millisecond, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("connect to embedded server: %v", err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// InProcessConn connects to the server that runs now; nats.Conn calls it when it reconnects.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil, net.ErrClosed
	}
	return s.current.InProcessConn()
}

// Sync is the group commit of the server that runs now.
func (s *Server) Sync(ctx context.Context) error {
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	if current == nil {
		return net.ErrClosed
	}
	return current.Sync(ctx)
}

// Restart stops the server and starts it again on the same folder. Connections come back by themselves, a moment later.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Resume(t)
}

// Stop stops the server until Resume. Stopping it twice is no fault.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.current.Close(ctx); err != nil {
		t.Errorf("stop embedded server: %v", err)
	}
	s.current = nil
}

// Resume starts a stopped server on its folder.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	current, err := embed.Open(t.Context(), s.options)
	if err != nil {
		t.Fatalf("start embedded server: %v", err)
	}
	s.current = current
}

// logger writes to t's output until t ends: nats-server may still say something from a goroutine of its own, and
// testing panics on a line that comes after the test.
func logger(t testing.TB) *slog.Logger {
	out := &output{writer: t.Output()}
	t.Cleanup(out.close)
	return slog.New(slog.NewTextHandler(out, nil))
}

type output struct {
	mu     sync.Mutex
	writer io.Writer
}

func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writer.Write(line)
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writer = io.Discard
}
