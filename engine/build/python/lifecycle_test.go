package python

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func importErrorEndsTheProcess(t *testing.T, w way) {
	cases := []struct{ name, handler, want string }{
		{"raises", "import json\nraise RuntimeError('no database')\n", "RuntimeError: no database"},
		{"does not parse", "def handler(:\n", "SyntaxError"},
		{"lacks a module", "import there_is_no_such_module\n", "ModuleNotFoundError"},
		{"lacks the function", "def handle(payload, ctx): pass\n", "handler.py has no function handler(payload, ctx)"},
		{"has something else of the name", "handler = 'text'\n", "handler.py has no function handler(payload, ctx)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := w.start(t, c.handler)
			if status := p.wait(); status != 1 {
				t.Errorf("it ended with status %d", status)
			}
			if printed := p.printed.String(); !strings.Contains(printed, c.want) {
				t.Errorf("it printed %q, want %q", printed, c.want)
			}
		})
	}
}

func handlerFindsItsOwnFiles(t *testing.T, w way) {
	dir := codeIn(t, map[string]string{
		"handler.py":                       "import json, own, lib.part, package\ndef handler(payload, ctx): return [own.X, lib.part.X, package.X, open('data.txt').read()]\n",
		"own.py":                           "X = 1\n",
		"lib/part.py":                      "X = 2\n",
		".ignite-packages/package.py":      "X = 3\n",
		".ignite-packages/own.py":          "X = 'the package was taken for the app'\n",
		"data.txt":                         "data",
		"__pycache__/ignored.cpython.pyc":  "",
		".ignite-packages/unused/__x__.py": "",
	})
	p := w.startIn(t, New(t.TempDir()), dir)
	if a := p.post("", nil); a.body != `[1, 2, 3, "data"]` {
		t.Errorf("got %v", a)
	}
}

func portInPlaceOfASocket(t *testing.T, w way) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	dir := codeIn(t, map[string]string{"handler.py": "print('ready')\ndef handler(payload, ctx): return payload\n"})
	p := w.run(t, New(t.TempDir()), dir, nil, fmt.Sprintf("PORT=%d", port))
	p.addr = fmt.Sprintf("127.0.0.1:%d", port)
	p.waitFor("ready")
	if a := p.post("payload", nil); a.body != "payload" {
		t.Errorf("got %v", a)
	}
}

func socketIsNotHandedOn(t *testing.T, w way) {
	p := w.start(t, `
import os
def handler(payload, ctx):
    return [os.get_inheritable(3), [name for name in os.environ if name.startswith("LISTEN_")]]
`)
	if a := p.post("", nil); a.body != "[false, []]" {
		t.Errorf("got %v", a)
	}
}

func stopLetsACallFinish(t *testing.T, w way) {
	p := w.start(t, `
import signal, sys, threading
told = threading.Event()
def handler(payload, ctx):
    if payload == b"go on":
        told.set()
        return b""
    def items():
        yield "started\n"
        told.wait()
        yield "finished\n"
    return items()
`)
	response, err := p.open(http.MethodPost, "/", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body := bufio.NewReader(response.Body)
	if line, err := body.ReadString('\n'); line != "started\n" {
		t.Fatal(line, err)
	}
	// The second connection has its request under way when TERM comes: the head is there, and the body follows.
	second := p.dial()
	if _, err := io.WriteString(second, "POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(second)
	if line, err := reader.ReadString('\n'); !strings.Contains(line, "100 Continue") {
		t.Fatal(line, err)
	}
	p.terminate()
	awaitRefusal(t, p.addr)
	if _, err := io.WriteString(second, "go on"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(reader); err != nil || !strings.Contains(string(rest), "200 OK") {
		t.Errorf("the second call got %q, %v", rest, err)
	}
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "finished\n" {
		t.Errorf("the first call got %q, %v", rest, err)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("it ended with status %d:\n%s", status, p.printed.String())
	}
}

// awaitRefusal returns once nobody listens at addr.
func awaitRefusal(t testing.TB, addr string) {
	t.Helper()
	for t.Context().Err() == nil {
		connection, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		// One that was taken is closed by the process; one that only waited is reset by the kernel. Both end the read.
		_, _ = connection.Read(make([]byte, 1))
		_ = connection.Close()
	}
}

func stopClosesIdleConnections(t *testing.T, w way) {
	p := w.start(t, "import atexit\natexit.register(print, 'said goodbye')\ndef handler(payload, ctx): return payload")
	idle := p.dial()
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			if a := p.post("x", nil); a.body != "x" {
				t.Errorf("got %v", a)
			}
		})
	}
	calls.Wait()
	p.terminate()
	if status := p.wait(); status != 0 {
		t.Errorf("it ended with status %d:\n%s", status, p.printed.String())
	}
	if !strings.Contains(p.printed.String(), "said goodbye") {
		t.Errorf("it printed %q", p.printed.String())
	}
	if n, err := idle.Read(make([]byte, 1)); err == nil {
		t.Errorf("the idle connection gave %d bytes", n)
	}
}

func nothingIsWrittenBesideTheCode(t *testing.T, w way) {
	dir := codeIn(t, map[string]string{"handler.py": "import own\ndef handler(payload, ctx):\n    import os\n    return sorted(os.listdir('.'))\n", "own.py": ""})
	if a := w.startIn(t, New(t.TempDir()), dir).post("", nil); a.body != `["handler.py", "own.py"]` {
		t.Errorf("got %v", a)
	}
}
