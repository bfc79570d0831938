package python

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/store"
)

// codeIn answers a folder with files.
func codeIn(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// instance is the launcher in a process of its own.
type instance struct {
	t       testing.TB
	process running
	addr    string
	client  *http.Client
	// lines are what it prints, until it ends.
	lines *bufio.Scanner
	// printed was read from lines so far.
	printed strings.Builder
}

// running is what tests need of a process, whoever has started it.
type running interface {
	terminate() error
	// wait answers the exit status.
	wait() int
	// kill ends it and waits for it, if wait has not yet.
	kill()
}

// beginning is all that a process of the launcher begins with.
type beginning struct {
	launch engine.Launch
	env    []string
	socket *os.File // may be nil
	output *os.File
}

// way is a way to start the launcher.
type way func(b beginning) (running, error)

// start runs handler with a socket that it inherits, and ends it with the test.
func (w way) start(t testing.TB, handler string) *instance {
	t.Helper()
	return w.startIn(t, New(t.TempDir()), codeIn(t, map[string]string{"handler.py": handler}))
}

func (w way) startIn(t testing.TB, r *Runtime, dir string, env ...string) *instance {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = file.Close(), listener.Close() }()
	p := w.run(t, r, dir, file, append(env, "LISTEN_FDS=1")...)
	p.addr = listener.Addr().String()
	return p
}

// run starts the launcher over the code in dir; socket may be nil.
func (w way) run(t testing.TB, r *Runtime, dir string, socket *os.File, env ...string) *instance {
	t.Helper()
	launch, err := r.Launch(t.Context(), dir, store.Version{})
	if err != nil {
		t.Fatal(err)
	}
	all := os.Environ()
	for name, value := range launch.Env {
		all = append(all, name+"="+value)
	}
	output, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	process, err := w(beginning{launch: launch, env: append(all, env...), socket: socket, output: writer})
	if err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	p := &instance{t: t, process: process, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}, lines: bufio.NewScanner(output)}
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		process.kill()
		_ = output.Close()
	})
	return p
}

// plainly is the way in which every machine can start the launcher.
var plainly way = func(b beginning) (running, error) {
	command := exec.CommandContext(context.Background(), b.launch.Command[0], b.launch.Command[1:]...)
	command.Dir = b.launch.Dir
	command.Env = b.env
	if b.socket != nil {
		command.ExtraFiles = []*os.File{b.socket}
	}
	command.Stdout, command.Stderr = b.output, b.output
	return &spawned{command}, command.Start()
}

type spawned struct{ command *exec.Cmd }

func (s *spawned) terminate() error { return s.command.Process.Signal(syscall.SIGTERM) }

func (s *spawned) wait() int {
	_ = s.command.Wait()
	return s.command.ProcessState.ExitCode()
}

func (s *spawned) kill() {
	if s.command.ProcessState == nil {
		_, _ = s.command.Process.Kill(), s.command.Wait()
	}
}

// answer is what a call gave.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (a answer) String() string { return fmt.Sprintf("%d %q %v %v", a.status, a.body, a.header, a.err) }

func (p *instance) post(body string, header http.Header) answer {
	return p.do(http.MethodPost, "/", strings.NewReader(body), header)
}

func (p *instance) do(method, path string, body io.Reader, header http.Header) answer {
	response, err := p.open(method, path, body, header)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(content), err}
}

func (p *instance) open(method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.addr+path, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	return p.client.Do(request)
}

// waitFor reads what the process prints until a line contains text.
func (p *instance) waitFor(text string) {
	p.t.Helper()
	for p.lines.Scan() {
		p.printed.WriteString(p.lines.Text() + "\n")
		if strings.Contains(p.lines.Text(), text) {
			return
		}
	}
	p.t.Fatalf("it ended without printing %q, but\n%s", text, p.printed.String())
}

// wait answers the exit status.
func (p *instance) wait() int {
	p.t.Helper()
	for p.lines.Scan() {
		p.printed.WriteString(p.lines.Text() + "\n")
	}
	return p.process.wait()
}

func (p *instance) terminate() {
	p.t.Helper()
	if err := p.process.terminate(); err != nil {
		p.t.Fatal(err)
	}
}

// failure is the body of a call whose handler raised.
type failure struct {
	Error, Type, Traceback string
}

func failureOf(t testing.TB, a answer) failure {
	t.Helper()
	var f failure
	decoder := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil || a.status != http.StatusInternalServerError {
		t.Fatalf("got %v, want a 500 with error, type and traceback: %v", a, err)
	}
	return f
}
