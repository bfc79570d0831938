package golang

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

const handler = `
func handle(payload []byte, ctx *ignite.Context) ([]byte, error) {
	switch string(payload) {
	case "fail":
		return nil, errors.New("as you like")
	case "panic":
		panic("as you like")
	}
	return []byte(ctx.ExecutionID + " " + ctx.FunctionID + " " + ctx.OrganizationID + " " + ctx.Headers.Get("X-Own") + " " + string(payload)), nil
}

func main() { ignite.Start(handle) }
`

// function is a main package that imports the SDK under a path.
func function(path string) string {
	return "package main\n\nimport (\n\t\"errors\"\n\n\tignite \"" + path + "\"\n)\n" + handler
}

// codeIn answers a folder with files.
func codeIn(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := write(filepath.Join(dir, name), content); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// build builds without a module proxy: what it can do, it does with nothing but this machine.
func build(t testing.TB, files map[string]string) (dir, log string, err error) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain")
	}
	dir = codeIn(t, files)
	var printed toolchain.Log
	err = Runtime{}.Build(t.Context(), dir, &printed)
	return dir, printed.String(), err
}

func offline(t *testing.T) {
	t.Helper()
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOENV", "off")
}

func TestBuildAndRun(t *testing.T) {
	offline(t)
	cases := []struct {
		name  string
		files map[string]string
	}{
		{"one file, short import", map[string]string{"main.go": function("ignite")}},
		{"full import", map[string]string{"main.go": function("dodil.io/ignite/sdk/go")}},
		{"both imports, in packages of its own", map[string]string{
			"go.mod":         "module example.com/hello\n\ngo 1.22\n",
			"main.go":        "package main\n\nimport (\n\t\"ignite\"\n\t\"example.com/hello/inner\"\n)\n\nfunc main() { ignite.Start(inner.Handle) }\n",
			"main_test.go":   "package main\n\nimport _ \"example.com/not/there\"\n",
			"inner/inner.go": strings.Replace(strings.Replace(function("dodil.io/ignite/sdk/go"), "package main", "package inner", 1), "func main() { ignite.Start(handle) }", "func Handle(p []byte, c *ignite.Context) ([]byte, error) { return handle(p, c) }", 1),
		}},
		{"with what it needs to be run elsewhere", map[string]string{
			"go.mod":  "module hello\n\ngo 1.20\n\nrequire dodil.io/ignite v0.0.0\n\nreplace dodil.io/ignite => ../../sdk\n",
			"main.go": function("dodil.io/ignite/sdk/go"),
		}},
		{"with files in the way", map[string]string{
			"main.go": function("ignite"), "handler/x.txt": "x", workFolder + "/sdk/go.mod": "not one", outFolder + "/other": "x",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, log, err := build(t, c.files)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 || entries[0].Name() != program {
				t.Errorf("it left %v, %v", entries, err)
			}
			p := prepare(t, dir)
			p.start()
			answers(t, p)
		})
	}
}

// answers checks what a pod of handler says.
func answers(t *testing.T, p *instance) {
	t.Helper()
	if got := p.post("payload"); got != "200 exec_1 acme/hello org_1 mine payload" {
		t.Errorf("a call is answered %q", got)
	}
	if got := p.post("fail"); got != `500 {"error":"as you like"}` {
		t.Errorf("an error is answered %q", got)
	}
	if got := p.post("panic"); got != `500 {"error":"panic: as you like"}` {
		t.Errorf("a panic is answered %q", got)
	}
	if got := p.do(http.MethodGet, ""); got != `200 {"status":"ok"}` {
		t.Errorf("after a panic a GET is answered %q", got)
	}
	if err := p.stop(); err != nil {
		t.Errorf("after TERM it ended with %v", err)
	}
}

// instance is a program that was built, in a process of its own with a socket that it inherited.
type instance struct {
	t       testing.TB
	command *exec.Cmd
	url     string
}

// prepare makes the process and its socket, which are for one start.
func prepare(t testing.TB, dir string) *instance {
	t.Helper()
	launch, err := Runtime{}.Launch(t.Context(), dir, store.Version{})
	if err != nil || !launch.SocketActivation || launch.HealthPath != "/healthz" || launch.Dir != dir {
		t.Fatalf("it is launched by %+v, %v", launch, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	p := &instance{t: t, command: exec.Command(launch.Command[0]), url: "http://" + listener.Addr().String()}
	p.command.Dir = dir
	p.command.Env = []string{"LISTEN_FDS=1"}
	p.command.ExtraFiles = []*os.File{file}
	p.command.Stderr = t.Output()
	return p
}

// start answers the lines that it prints.
func (p *instance) start() *bufio.Scanner {
	p.t.Helper()
	out, err := p.command.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = p.command.Process.Kill() })
	return bufio.NewScanner(out)
}

func (p *instance) post(body string) string { return p.do(http.MethodPost, body) }

func (p *instance) do(method, body string) string {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.url+"/any", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"X-Ignite-Execution-Id": "exec_1", "X-Ignite-Function-Id": "acme/hello", "X-Ignite-Organization-Id": "org_1", "X-Own": "mine",
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", response.StatusCode, answer)
}

func (p *instance) stop() error {
	return errors.Join(p.command.Process.Signal(syscall.SIGTERM), p.command.Wait())
}

func TestTheSameCodeGivesTheSameBytes(t *testing.T) {
	offline(t)
	var programs [2][]byte
	for i := range programs {
		dir, log, err := build(t, map[string]string{"main.go": function("ignite")})
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		if programs[i], err = os.ReadFile(filepath.Join(dir, program)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(programs[0], programs[1]) {
		t.Error("in another folder it gave another program")
	}
}

func TestBuildsThatFail(t *testing.T) {
	offline(t)
	secret := codeIn(t, map[string]string{"go.mod": "module secret\n", "secret.go": "package secret\n"})
	cases := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"does not compile", map[string]string{"main.go": "package main\n\nimport _ \"ignite\"\n\nfunc main() { nobody() }\n"}, "main.go:5:15: undefined: nobody"},
		{"another signature", map[string]string{"main.go": "package main\n\nimport \"ignite\"\n\nfunc main() { ignite.Start(func() {}) }\n"}, "cannot use func()"},
		{"no command", map[string]string{"hello.go": "package hello\n"}, "no main packages to build"},
		{"a module that cannot be had", map[string]string{"main.go": "package main\n\nimport _ \"example.com/missing\"\n\nfunc main() {}\n"}, "module lookup disabled by GOPROXY=off"},
		{"a damaged go.mod", map[string]string{"main.go": function("ignite"), "go.mod": "not one"}, "go.mod:1"},
		{"the server's files", map[string]string{
			"main.go": "package main\n\nimport _ \"secret\"\n\nfunc main() {}\n", "go.mod": "module m\n\nreplace secret => " + secret + "\n",
		}, "go.mod replaces secret by " + secret + ", which is not in the archive"},
		{"the server's files, by a detour", map[string]string{
			"main.go": function("ignite"), "go.mod": "module m\n\nreplace dodil.io/ignite v1.0.0 => ./x/../../secret\n",
		}, "which is not in the archive"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, log, err := build(t, c.files)
			if !errors.Is(err, store.ErrInvalidCode) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got the error %v, want an invalid code that says %q\n%s", err, c.want, log)
			}
		})
	}
}

func TestBuildWithoutToolchain(t *testing.T) {
	dir := codeIn(t, map[string]string{"main.go": function("ignite")})
	t.Setenv("PATH", t.TempDir())
	var log toolchain.Log
	err := Runtime{}.Build(t.Context(), dir, &log)
	if !errors.Is(err, store.ErrInvalidCode) || !strings.Contains(err.Error(), "there is no Go toolchain on this server's PATH") {
		t.Errorf("got the error %v", err)
	}
}

// TERM waits for the call that runs; a connection that waits for its next request does not keep the process.
func TestStopAnswersWhatRuns(t *testing.T) {
	offline(t)
	const slow = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"ignite"
)

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	ignite.Start(func([]byte, *ignite.Context) ([]byte, error) {
		fmt.Println("begun")
		<-told
		return []byte("done"), nil
	})
	fmt.Println("tidied up")
}
`
	dir, log, err := build(t, map[string]string{"main.go": slow})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	p := prepare(t, dir)
	lines := p.start()
	answered := make(chan string, 1)
	go func() { answered <- p.post("") }()
	lines.Scan()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got != "200 done" {
		t.Errorf("the call was answered %q", got)
	}
	lines.Scan()
	if err := p.command.Wait(); err != nil || lines.Text() != "tidied up" {
		t.Errorf("its last line is %q, and it ended with %v", lines.Text(), err)
	}
}
