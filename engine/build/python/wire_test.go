package python

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

func largeBodies(t *testing.T, w way) {
	p := w.start(t, "import hashlib\ndef handler(payload, ctx): return payload")
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

func connectionsAreKept(t *testing.T, w way) {
	p := w.start(t, "def handler(payload, ctx): return payload")
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

func malformedRequests(t *testing.T, w way) {
	p := w.start(t, "def handler(payload, ctx): return payload")
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
