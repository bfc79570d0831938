package python

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func exceptionAfterTheFirstItemBreaksTheConnection(t *testing.T, w way) {
	p := w.start(t, handlerOfTests)
	a := p.post("fail later", nil)
	if a.status != http.StatusOK || a.body != "first" || !errors.Is(a.err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", a)
	}
	p.waitFor("ValueError: too late")
	if a := p.post("str", nil); a.status != http.StatusOK {
		t.Errorf("after that a call gives %v", a)
	}
}

func itemsAreSentAsTheyCome(t *testing.T, w way) {
	p := w.start(t, `
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

func generatorIsClosedWhenTheCallerLeaves(t *testing.T, w way) {
	p := w.start(t, `
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
