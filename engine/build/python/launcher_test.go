package python

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The handler of most tests does what the payload names.
const handlerOfTests = `
import json, sys, threading

class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")

class Numbers:
    def __init__(self): self.left = 2
    def __iter__(self): return self
    def __next__(self):
        if not self.left: raise StopIteration
        self.left -= 1
        return self.left

def fail(): raise ValueError("bad value")
def fail_later():
    yield b"first"
    raise ValueError("too late")
def fail_first():
    raise ValueError("before the first")
    yield
def leave(): sys.exit(3)
def interrupt(): raise KeyboardInterrupt
def odd(): raise Odd
def deep(): return deep()

def handler(payload, context):
    return {
        "bytes": lambda: b"\x00\xff",
        "bytearray": lambda: bytearray(b"ab"),
        "memoryview": lambda: memoryview(b"cd"),
        "str": lambda: "gr\u00fc\u00df",
        "empty": lambda: b"",
        "dict": lambda: {"a": [1, 2.5, None, True, "\u00fc"]},
        "list": lambda: [1, 2],
        "number": lambda: 7,
        "none": lambda: None,
        "unserializable": lambda: object(),
        "large": lambda: b"x" * 5_000_000,
        "surrogate": lambda: "\ud800",
        "bytes stream": lambda: iter([b"a", b"", b"b"]),
        "str stream": lambda: (s for s in ["\u00fc", "b"]),
        "json stream": lambda: map(lambda n: {"n": n}, range(2)),
        "own iterator": Numbers,
        "empty stream": lambda: iter([]),
        "bad item": lambda: iter([object()]),
        "fail": fail, "fail later": fail_later, "fail first": fail_first,
        "exit": leave, "interrupt": interrupt, "odd": odd, "deep": deep,
        "context": lambda: context,
    }[payload.decode()]()
`

func TestReturnedValues(t *testing.T) {
	t.Parallel()
	p := start(t, handlerOfTests)
	const octets, text, jsonType, lines = "application/octet-stream", "text/plain; charset=utf-8", "application/json", "application/x-ndjson"
	cases := []struct{ payload, kind, body string }{
		{"bytes", octets, "\x00\xff"},
		{"bytearray", octets, "ab"},
		{"memoryview", octets, "cd"},
		{"empty", octets, ""},
		{"large", octets, strings.Repeat("x", 5_000_000)},
		{"str", text, "grüß"},
		{"dict", jsonType, `{"a": [1, 2.5, null, true, "\u00fc"]}`},
		{"list", jsonType, "[1, 2]"},
		{"number", jsonType, "7"},
		{"none", jsonType, "null"},
		{"bytes stream", octets, "ab"},
		{"str stream", text, "üb"},
		{"json stream", lines, "{\"n\": 0}\n{\"n\": 1}\n"},
		{"own iterator", lines, "1\n0\n"},
		{"empty stream", octets, ""},
	}
	for _, c := range cases {
		t.Run(c.payload, func(t *testing.T) {
			t.Parallel()
			a := p.post(c.payload, nil)
			if a.err != nil || a.status != http.StatusOK || a.body != c.body || a.header.Get("Content-Type") != c.kind {
				t.Errorf("got %.300v, want %q of the type %s", a, c.body[:min(len(c.body), 100)], c.kind)
			}
			streamed := a.header.Get("Content-Length") == ""
			if wanted := strings.Contains(c.payload, "stream") || strings.Contains(c.payload, "iterator"); streamed != wanted {
				t.Errorf("streamed is %v, want %v", streamed, wanted)
			}
		})
	}
}

func TestExceptions(t *testing.T) {
	t.Parallel()
	p := start(t, handlerOfTests)
	cases := []struct{ payload, kind, text, inTraceback string }{
		{"fail", "ValueError", "bad value", `raise ValueError("bad value")`},
		{"fail first", "ValueError", "before the first", "in fail_first"},
		{"exit", "SystemExit", "3", "in leave"},
		{"interrupt", "KeyboardInterrupt", "", "in interrupt"},
		{"odd", "Odd", "the exception has no text", "in odd"},
		{"deep", "RecursionError", "maximum recursion depth exceeded", "in deep"},
		{"unserializable", "TypeError", "Object of type object is not JSON serializable", "TypeError"},
		{"bad item", "TypeError", "Object of type object is not JSON serializable", "TypeError"},
		{"surrogate", "UnicodeEncodeError", "surrogates not allowed", "UnicodeEncodeError"},
		{"no such thing", "KeyError", "'no such thing'", "in handler"},
	}
	for _, c := range cases {
		t.Run(c.payload, func(t *testing.T) {
			t.Parallel()
			a := p.post(c.payload, nil)
			f := failureOf(t, a)
			if f.Type != c.kind || !strings.Contains(f.Error, c.text) || !strings.Contains(f.Traceback, c.inTraceback) {
				t.Errorf("got %+v, want %+v", f, c)
			}
			if strings.Contains(f.Traceback, "in call") {
				t.Errorf("the traceback begins in the launcher: %s", f.Traceback)
			}
		})
	}
}

func TestExceptionIsLogged(t *testing.T) {
	t.Parallel()
	p := start(t, handlerOfTests)
	failureOf(t, p.post("fail", http.Header{"X-Ignite-Execution-Id": {"exec_7"}}))
	p.waitFor("exec_7: Traceback")
	p.waitFor("ValueError: bad value")
}

func TestExceptionAfterTheFirstItemBreaksTheConnection(t *testing.T) {
	t.Parallel()
	p := start(t, handlerOfTests)
	a := p.post("fail later", nil)
	if a.status != http.StatusOK || a.body != "first" || !errors.Is(a.err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", a)
	}
	p.waitFor("ValueError: too late")
	if a := p.post("str", nil); a.status != http.StatusOK {
		t.Errorf("after that a call gives %v", a)
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	p := start(t, handlerOfTests)
	a := p.post("context", http.Header{
		"X-Ignite-Execution-Id":    {"exec_1"},
		"X-Ignite-Function-Id":     {"acme/app"},
		"x-ignite-organization-id": {"acme"},
		"X-Ignite-Attempt":         {"2"},
		"X-Other":                  {"secret"},
	})
	var got map[string]string
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err, a)
	}
	want := map[string]string{"execution_id": "exec_1", "function_id": "acme/app", "organization_id": "acme"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestExample(t *testing.T) {
	t.Parallel()
	p := startIn(t, New(t.TempDir()), filepath.Join("..", "..", "..", "examples", "hello"))
	for _, c := range []struct{ payload, want string }{
		{`{"name": "Ada"}`, `{"message": "Hello, Ada!", "greeted": 1, "execution_id": "exec_1"}`},
		{"", `{"message": "Hello, world!", "greeted": 2, "execution_id": "exec_1"}`},
		{`["Ada"]`, `{"message": "Hello, world!", "greeted": 3, "execution_id": "exec_1"}`},
	} {
		if a := p.post(c.payload, http.Header{"X-Ignite-Execution-Id": {"exec_1"}}); a.body != c.want {
			t.Errorf("%q gives %v, want %s", c.payload, a, c.want)
		}
	}
	if f := failureOf(t, p.post("Ada", nil)); f.Type != "JSONDecodeError" {
		t.Errorf("got %+v", f)
	}
}

func TestWhatTheRuntimeAnswersItself(t *testing.T) {
	t.Parallel()
	p := start(t, "def handler(payload, ctx): raise ValueError('called')")
	cases := []struct {
		method, path string
		status       int
		body         string
	}{
		{http.MethodGet, "/", http.StatusOK, `{"status":"ok"}`},
		{http.MethodGet, "/healthz?deep=1", http.StatusOK, `{"status":"ok"}`},
		{http.MethodHead, "/healthz", http.StatusOK, ""},
		{http.MethodPut, "/", http.StatusMethodNotAllowed, "a function is called with POST\n"},
		{http.MethodOptions, "/", http.StatusMethodNotAllowed, "a function is called with POST\n"},
	}
	for _, c := range cases {
		a := p.do(c.method, c.path, strings.NewReader("a body"), nil)
		if a.err != nil || a.status != c.status || a.body != c.body {
			t.Errorf("%s %s gives %v", c.method, c.path, a)
		}
	}
}

func TestItemsAreSentAsTheyCome(t *testing.T) {
	t.Parallel()
	p := start(t, `
import threading
proceed = threading.Event()
def handler(payload, ctx):
    if payload == b"proceed":
        proceed.set()
        return b""
    def items():
        yield "first\n"
        proceed.wait()
        yield "second\n"
    return items()
`)
	response, err := p.open(http.MethodPost, "/", strings.NewReader("stream"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body := bufio.NewReader(response.Body)
	if line, err := body.ReadString('\n'); err != nil || line != "first\n" {
		t.Fatalf("first came %q, %v", line, err)
	}
	// Only this call lets the generator make its second item.
	if a := p.post("proceed", nil); a.status != http.StatusOK {
		t.Fatal(a)
	}
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "second\n" {
		t.Errorf("then came %q, %v", rest, err)
	}
}

func TestGeneratorIsClosedWhenTheCallerLeaves(t *testing.T) {
	t.Parallel()
	p := start(t, `
def handler(payload, ctx):
    try:
        while True:
            yield b"x" * 65536
    finally:
        print("closed")
`)
	response, err := p.open(http.MethodPost, "/", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	p.waitFor("closed")
}

func TestModuleStateAndThreadsLiveOn(t *testing.T) {
	t.Parallel()
	p := start(t, `
import queue, threading
jobs, done = queue.Queue(), []
def work():
    while True:
        done.append(jobs.get())
        print("worked on", done[-1])
threading.Thread(target=work, daemon=True).start()
def handler(payload, ctx):
    if payload == b"list":
        return done
    jobs.put(payload.decode())
    return b""
`)
	for _, job := range []string{"a", "b"} {
		if a := p.post(job, nil); a.status != http.StatusOK {
			t.Fatal(a)
		}
		p.waitFor("worked on " + job)
	}
	if a := p.post("list", nil); a.body != `["a", "b"]` {
		t.Errorf("got %v", a)
	}
}

func TestCallsRunSideBySide(t *testing.T) {
	t.Parallel()
	p := start(t, `
import threading
everybody = threading.Barrier(50)
def handler(payload, ctx):
    everybody.wait()
    return payload
`)
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			if a := p.post(fmt.Sprint(i), nil); a.body != fmt.Sprint(i) {
				t.Errorf("call %d got %v", i, a)
			}
		})
	}
	calls.Wait()
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	dir := codeIn(t, map[string]string{"handler.py": `
import threading
lock, running, most = threading.Lock(), 0, 0
pair = threading.Barrier(2)
def handler(payload, ctx):
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    pair.wait()
    with lock:
        running -= 1
    return most
`})
	p := startIn(t, New(t.TempDir()), dir, "IGNITE_MAX_CONCURRENCY=2")
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if a := p.post("", nil); a.body != "2" && a.body != "1" {
				t.Errorf("got %v", a)
			}
		})
	}
	calls.Wait()
}

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	p := start(t, "import hashlib\ndef handler(payload, ctx): return payload")
	large := strings.Repeat("0123456789", 500_000)
	if a := p.post(large, nil); a.body != large {
		t.Errorf("with a Content-Length: got %d bytes, %v", len(a.body), a.err)
	}
	// A reader that net/http does not know has no length, so the body is sent in chunks.
	chunked := p.do(http.MethodPost, "/", io.MultiReader(strings.NewReader(large), strings.NewReader("end")), nil)
	if chunked.body != large+"end" {
		t.Errorf("in chunks: got %d bytes, %v", len(chunked.body), chunked.err)
	}
	expecting := p.post("small", http.Header{"Expect": {"100-continue"}})
	if expecting.body != "small" {
		t.Errorf("with Expect: got %v", expecting)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	p := start(t, "def handler(payload, ctx): return payload")
	connection := p.dial()
	requests := "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\none" +
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\ntw\r\n1\r\no\r\n0\r\nTrailer: x\r\n\r\n" +
		"GET / HTTP/1.1\r\n\r\n" +
		"POST / HTTP/1.1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlast"
	var got []string
	for _, a := range p.talk(connection, requests) {
		got = append(got, a.body)
	}
	if want := []string{"one", "two", `{"status":"ok"}`, "last"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func (p *instance) dial() net.Conn {
	p.t.Helper()
	connection, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// talk sends bytes and answers all answers until the connection ends.
func (p *instance) talk(connection net.Conn, request string) (answers []answer) {
	p.t.Helper()
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { _, _ = io.WriteString(connection, request) })
	reader := bufio.NewReader(connection)
	for {
		response, err := http.ReadResponse(reader, httptest.NewRequest(http.MethodPost, "/", nil))
		if err != nil {
			return answers
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		answers = append(answers, answer{response.StatusCode, response.Header, string(body), err})
	}
}

func TestMalformedRequests(t *testing.T) {
	t.Parallel()
	p := start(t, "def handler(payload, ctx): return payload")
	cases := []struct {
		name, request string
		status        int
	}{
		{"no request line", "hello\r\n\r\n", 400},
		{"old version", "POST / HTTP/1.0\r\n\r\n", 505},
		{"header without colon", "POST / HTTP/1.1\r\nbad\r\n\r\n", 400},
		{"space before the colon", "POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n", 400},
		{"length that is no number", "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400},
		{"two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		{"length and chunks", "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"unknown coding", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{"chunk size that is no number", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
		{"chunk that is too long", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400},
		{"endless head", "POST / HTTP/1.1\r\nX: " + strings.Repeat("x", 2<<20), 431},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			answers := p.talk(p.dial(), c.request)
			if len(answers) != 1 || answers[0].status != c.status {
				t.Errorf("got %v, want one answer with status %d", answers, c.status)
			}
		})
	}
}
