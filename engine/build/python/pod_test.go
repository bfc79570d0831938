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
	command *exec.Cmd
	addr    string
	client  *http.Client
	// lines are what it prints, until it ends.
	lines *bufio.Scanner
	// printed was read from lines so far.
	printed strings.Builder
}

// start runs handler with a socket that it inherits, and ends it with the test.
func start(t testing.TB, handler string) *instance {
	t.Helper()
	return startIn(t, New(t.TempDir()), codeIn(t, map[string]string{"handler.py": handler}))
}

func startIn(t testing.TB, r *Runtime, dir string, env ...string) *instance {
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
	p := run(t, r, dir, file, append(env, "LISTEN_FDS=1")...)
	p.addr = listener.Addr().String()
	return p
}

// run starts the launcher over the code in dir; socket may be nil.
func run(t testing.TB, r *Runtime, dir string, socket *os.File, env ...string) *instance {
	t.Helper()
	launch, err := r.Launch(t.Context(), dir, store.Version{})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(context.Background(), launch.Command[0], launch.Command[1:]...)
	command.Dir = launch.Dir
	command.Env = os.Environ()
	for name, value := range launch.Env {
		command.Env = append(command.Env, name+"="+value)
	}
	command.Env = append(command.Env, env...)
	if socket != nil {
		command.ExtraFiles = []*os.File{socket}
	}
	output, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = writer, writer
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	p := &instance{t: t, command: command, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}, lines: bufio.NewScanner(output)}
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		if command.ProcessState == nil {
			_, _ = command.Process.Kill(), command.Wait()
		}
		_ = output.Close()
	})
	return p
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
	_ = p.command.Wait()
	return p.command.ProcessState.ExitCode()
}

func (p *instance) terminate() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
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
