package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// terminalOutput opens a pseudo terminal and returns the end that a program writes to, and what is seen on the screen.
func terminalOutput(t *testing.T) (*os.File, *screen) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	unlock := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err = errors.Join(unlock, err); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	seen := &screen{changed: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() { seen.readFrom(master) })
	t.Cleanup(func() {
		_ = slave.Close() // ends the reading
		reading.Wait()
		_ = master.Close()
	})
	return slave, seen
}

// screen is all that was ever written to a terminal.
type screen struct {
	mu      sync.Mutex
	text    string
	changed chan struct{} // closed by the next change
}

func (s *screen) readFrom(terminal *os.File) {
	buffer := make([]byte, 4096)
	for {
		n, err := terminal.Read(buffer)
		s.mu.Lock()
		s.text += string(buffer[:n])
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
		if err != nil { // the program's end was closed
			return
		}
	}
}

func (s *screen) shows(part string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text, part)
}

// await waits until all parts were seen.
func (s *screen) await(ctx context.Context, parts ...string) error {
	for {
		s.mu.Lock()
		text, changed := s.text, s.changed
		s.mu.Unlock()
		missing := false
		for _, part := range parts {
			missing = missing || !strings.Contains(text, part)
		}
		if !missing {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the screen never shows all of %q, but %q: %w", parts, text, ctx.Err())
		}
	}
}

func TestSpinnerOnATerminal(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	stderr, seen := terminalOutput(t)
	server.invoke = func(request *ignitev1.InvokeRequest, stream invokeStream) error {
		if err := seen.await(stream.Context(), "Waiting for acme:hello", "[0s]"); err != nil {
			return err
		}
		return answering(nil, head(200), chunk("done"), trailer(4))(request, stream)
	}
	sh := newShell(t, server)
	sh.stderr = stderr
	wantText(t, sh.succeeds("invoke", "acme:hello").stdout, "done")
	if err := seen.await(t.Context(), "\x1b[2K\r"); err != nil { // the line is cleared
		t.Error(err)
	}
}

func TestUploadBarOnATerminal(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	server := serveOn(t, gatedListener{inner, gate})
	server.on("SaveDraft", &ignitev1.SaveDraftResponse{})
	dir := writeFiles(t, "hello", map[string]string{"handler.py": ""})
	noise := make([]byte, 2<<20) // does not get smaller when it is packed
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "noise"), noise, 0o600); err != nil {
		t.Fatal(err)
	}
	stderr, seen := terminalOutput(t)
	var opening sync.WaitGroup
	opening.Go(func() {
		defer close(gate)
		// The server has stopped reading. The bar stands where the connection does.
		if err := seen.await(t.Context(), "Uploading 2.0 MiB", "%", "/2.0 MiB"); err != nil {
			t.Error(err)
		}
		if seen.shows("100%") {
			t.Error("the bar is full although the server has not read the archive")
		}
	})
	sh := newShell(t, server)
	sh.stderr = stderr
	sh.succeeds("draft", "save", "acme:hello", "--code", dir, "--timeout", "20s")
	opening.Wait()
	if err := seen.await(t.Context(), "Uploading 2.0 MiB (", "s)"); err != nil {
		t.Error(err)
	}
}

func TestNothingMovesOffATerminal(t *testing.T) {
	t.Parallel()
	for _, terminalType := range []string{"xterm", "dumb"} {
		stderr, seen := terminalOutput(t)
		p := newProgress(stderr, terminalType)
		if p.terminal != (terminalType == "xterm") {
			t.Errorf("TERM=%s counts as a terminal: %t", terminalType, p.terminal)
		}
		p.step("Compiling").done()
		if err := seen.await(t.Context(), "Compiling"); err != nil {
			t.Error(err)
		}
	}
	var plain strings.Builder
	p := newProgress(&plain, "xterm")
	waiting := p.wait("Waiting")
	waiting.say("Still waiting")
	waiting.stop()
	waiting.stop()
	p.step("Compiling").done()
	p.upload("Uploading", 10, func() int64 { return 10 }).done()
	wantText(t, plain.String(), "Compiling\nUploading\n")
}

// gatedListener hands out connections from which little can be read until the gate is open.
type gatedListener struct {
	net.Listener
	gate <-chan struct{}
}

func (l gatedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: conn, gate: l.gate}, nil
}

type gatedConn struct {
	net.Conn
	gate <-chan struct{}
	read int
}

func (c *gatedConn) Read(p []byte) (int, error) {
	const free = 512 << 10
	if c.read > free {
		<-c.gate
	}
	n, err := c.Conn.Read(p)
	c.read += n
	return n, err
}
