package podtest

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// patience is how long the suite waits for what must come; only a test that fails takes so long.
const patience = 20 * time.Second

// lifeline is where a program connects so that the test learns of its end without knowing its process id, on whatever machine it is.
type lifeline struct {
	t        *testing.T
	listener *net.TCPListener
}

func newLifeline(t *testing.T, host string) *lifeline {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(host)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &lifeline{t: t, listener: listener}
}

func (l *lifeline) address() string { return l.listener.Addr().String() }

// take waits for a program to connect.
func (l *lifeline) take() net.Conn {
	l.t.Helper()
	if err := l.listener.SetDeadline(time.Now().Add(patience)); err != nil {
		l.t.Fatal(err)
	}
	conn, err := l.listener.Accept()
	if err != nil {
		l.t.Fatalf("no program connected: %v", err)
	}
	l.t.Cleanup(func() { conn.Close() })
	return conn
}

// mustBeCut fails the test unless the program at the other end is gone, up to what the kernel needs to say so.
func (l *lifeline) mustBeCut(conn net.Conn) {
	l.t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		l.t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); isTimeout(err) {
		l.t.Error("a process of the pod is still running")
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
