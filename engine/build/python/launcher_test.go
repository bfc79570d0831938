package python

import (
	"encoding/json"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
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

func returnedValues(t *testing.T, w way) {
	p := w.start(t, handlerOfTests)
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

func exceptions(t *testing.T, w way) {
	p := w.start(t, handlerOfTests)
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

func exceptionIsLogged(t *testing.T, w way) {
	p := w.start(t, handlerOfTests)
	failureOf(t, p.post("fail", http.Header{"X-Ignite-Execution-Id": {"exec_7"}}))
	p.waitFor("exec_7: Traceback")
	p.waitFor("ValueError: bad value")
}

func contextOfACall(t *testing.T, w way) {
	p := w.start(t, handlerOfTests)
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

func example(t *testing.T, w way) {
	p := w.startIn(t, New(t.TempDir()), filepath.Join("..", "..", "..", "examples", "hello"))
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

func whatTheRuntimeAnswersItself(t *testing.T, w way) {
	p := w.start(t, "def handler(payload, ctx): raise ValueError('called')")
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

// talk sends bytes and answers all answers until the connection ends.
