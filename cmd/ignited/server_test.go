package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asServer makes this test binary behave as ignited, so that the whole server runs as a process of its own,
// race detector included, without a second build.
const asServer = "IGNITE_TEST_RUN_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// server is an ignited process.
type server struct {
	dir        string
	http, grpc string // host:port
	token      string // of organization acme-corp, all scopes

	command *exec.Cmd
	exited  chan struct{}
	logs    *lockedBuffer
}

// startServer runs ignited on dir, which a later call may use again, and waits until it is ready.
func startServer(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	s := launch(t, dir, args...)
	s.waitReady(t)
	s.token = s.mint(t, "--org", "acme-corp")
	return s
}

func launch(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	s := &server{dir: dir, exited: make(chan struct{}), logs: &lockedBuffer{}}
	s.command = self(append([]string{
		"--data-dir", dir, "--http-listen-addr", "127.0.0.1:0", "--api-listen-addr", "127.0.0.1:0",
		"--log-format", "json", "--log-level", "debug",
	}, args...)...)
	stderr, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	addresses := make(chan [2]string, 1)
	var reading sync.WaitGroup
	reading.Go(func() { s.readLogs(t, stderr, addresses) })
	go func() { // ends with the process, which the cleanup below ends
		reading.Wait()
		_ = s.command.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() { s.kill(); s.checkLogs(t) })
	select {
	case found := <-addresses:
		s.http, s.grpc = found[0], found[1]
	case <-s.exited:
		t.Fatalf("ignited ended before it listened:\n%s", s.logs)
	case <-time.After(time.Minute):
		t.Fatalf("ignited does not listen:\n%s", s.logs)
	}
	return s
}

// self runs this binary as ignited. The race detector would let every process sleep for a second at its end.
func self(args ...string) *exec.Cmd {
	command := exec.Command(os.Args[0], args...)
	command.Env = append(os.Environ(), asServer+"=1", "GORACE=atexit_sleep_ms=10")
	return command
}

// readLogs keeps the server's log and finds in it where the server listens.
func (s *server) readLogs(t *testing.T, stderr io.Reader, addresses chan<- [2]string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, _ = s.logs.Write(append(lines.Bytes(), '\n'))
		var line struct{ Msg, HTTP, GRPC string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			addresses <- [2]string{line.HTTP, line.GRPC}
		}
	}
	if err := lines.Err(); err != nil {
		t.Logf("read the log of ignited: %v", err)
	}
}

// checkLogs fails the test for what the race detector or the runtime said of the process, however that ended.
func (s *server) checkLogs(t *testing.T) {
	t.Helper()
	for _, word := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(s.logs.String(), word) {
			t.Errorf("the log of ignited has %q:\n%s", word, s.logs)
		}
	}
}

func (s *server) waitReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := http.Get("http://" + s.http + "/readyz")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-s.exited:
			t.Fatalf("ignited ended before it was ready:\n%s", s.logs)
		case <-ctx.Done():
			t.Fatalf("ignited is not ready: %v\n%s", err, s.logs)
		}
	}
}

// mint runs `ignited token` on the server's data folder.
func (s *server) mint(t *testing.T, args ...string) string {
	t.Helper()
	command := self(append([]string{"token", "--data-dir", s.dir}, args...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("ignited token: %v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// stop sends TERM and waits for a clean end.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(90 * time.Second):
		t.Fatalf("ignited does not stop:\n%s", s.logs)
	}
	if code := s.command.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("ignited ended with %d:\n%s", code, s.logs)
	}
}

// kill ends the process as a crash would.
func (s *server) kill() {
	_ = s.command.Process.Kill()
	<-s.exited
}

// request makes an HTTP request to the server with its token.
func (s *server) request(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.http+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	return request
}

// do sends a JSON request and answers status and decoded body.
func (s *server) do(t *testing.T, method, path, body string) (int, map[string]any) {
	t.Helper()
	answer, err := http.DefaultClient.Do(s.request(t, method, path, strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var decoded map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&decoded); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%s %s: %d: %v", method, path, answer.StatusCode, err)
	}
	return answer.StatusCode, decoded
}

func dataDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "data")
}

// lockedBuffer may be written and read at the same time.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
