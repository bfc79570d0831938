package pod_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"dodil.io/ignite/engine/pod"
)

func TestRequestLineArrivesAsGiven(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		envelope pod.Envelope
		want     string
	}{
		{pod.Envelope{}, "POST / HTTP/1.1"},
		{pod.Envelope{Method: "GET", Path: "/a"}, "GET /a HTTP/1.1"},
		{pod.Envelope{Method: "PURGE", Path: "/a"}, "PURGE /a HTTP/1.1"},
		{pod.Envelope{Method: "get", Path: "/a"}, "get /a HTTP/1.1"},
		{pod.Envelope{Path: "/a%2Fb%20c/%c3%bc"}, "POST /a%2Fb%20c/%c3%bc HTTP/1.1"},
		{pod.Envelope{Path: "//a//b"}, "POST //a//b HTTP/1.1"},
		{pod.Envelope{Path: "//a%2fb"}, "POST //a%2fb HTTP/1.1"},
		{pod.Envelope{Path: "//"}, "POST // HTTP/1.1"},
		{pod.Envelope{Path: "/a/../b/./c"}, "POST /a/../b/./c HTTP/1.1"},
		{pod.Envelope{Path: "/a;b=c,d:@&=+$!*'()"}, "POST /a;b=c,d:@&=+$!*'() HTTP/1.1"},
		{pod.Envelope{Path: `/a|b^c"d<e>{f}`}, `POST /a|b^c"d<e>{f} HTTP/1.1`},
		{pod.Envelope{Path: "/a\xff\xc3\xbc"}, "POST /a\xff\xc3\xbc HTTP/1.1"},
		{pod.Envelope{Path: "/a", Query: "x=1&x=2;y=%2F+&z=a?b"}, "POST /a?x=1&x=2;y=%2F+&z=a?b HTTP/1.1"},
		{pod.Envelope{Path: "/a", Query: "%zz"}, "POST /a?%zz HTTP/1.1"},
		{pod.Envelope{Path: "/a", ForceQuery: true}, "POST /a? HTTP/1.1"},
		{pod.Envelope{Path: "//a", ForceQuery: true}, "POST //a? HTTP/1.1"},
		{pod.Envelope{Query: "?"}, "POST /?? HTTP/1.1"},
		{pod.Envelope{Path: "/http://other/"}, "POST /http://other/ HTTP/1.1"},
	} {
		t.Run(test.want, func(t *testing.T) {
			t.Parallel()
			head, _ := seen(t, pod.Request{Envelope: test.envelope})
			if head[0] != test.want {
				t.Errorf("pod saw %q, want %q", head[0], test.want)
			}
		})
	}
}

func TestHeadersArriveAsGiven(t *testing.T) {
	t.Parallel()
	head, _ := seen(t, pod.Request{Envelope: pod.Envelope{Method: "GET", Header: http.Header{
		"Accept":          {"a", "b"},
		"x-lower":         {"kept"},
		"X_Under_Score":   {"kept"},
		"Accept-Encoding": {"br"},
		"Te":              {"trailers, deflate"},
		"host":            {"app.example:8080"},
		"X-Latin":         {"\xfc"},
		"Cookie":          {"a=1", "b=2"},
	}}, Identity: pod.Identity{ExecutionID: "exec_1", FunctionID: "o/a", OrganizationID: "o", Attempt: 2}})
	want := []string{
		"Accept-Encoding: br", "Accept: a", "Accept: b", "Cookie: a=1", "Cookie: b=2", "Host: app.example:8080", "Te: trailers",
		"X-Ignite-Attempt: 2", "X-Ignite-Execution-Id: exec_1", "X-Ignite-Function-Id: o/a", "X-Ignite-Organization-Id: o",
		"X-Latin: \xfc", "X_Under_Score: kept", "x-lower: kept",
	}
	got := slices.Sorted(slices.Values(head[1:]))
	if !slices.Equal(got, want) {
		t.Errorf("pod saw\n%q, want\n%q", got, want)
	}
}

func TestCallerCannotLieAboutIdentity(t *testing.T) {
	t.Parallel()
	lies := http.Header{}
	for _, name := range []string{
		"X-Ignite-Execution-Id", "x-ignite-execution-id", "X_Ignite_Execution_Id", "X-IGNITE_EXECUTION-ID", "x_ignite_function_id",
		"X-Ignite-Function-ID", "X-Ignite-Organization-Id", "X_IGNITE_ORGANIZATION_ID", "X-Ignite-Attempt", "x-ignite_attempt",
	} {
		lies[name] = []string{"lie", "lie"}
	}
	lies["Connection"] = []string{"X-Ignite-Attempt"}
	head, _ := seen(t, pod.Request{Envelope: pod.Envelope{Method: "GET", Header: lies}, Identity: pod.Identity{Attempt: 1}})
	want := []string{"X-Ignite-Attempt: 1", "X-Ignite-Execution-Id: ", "X-Ignite-Function-Id: ", "X-Ignite-Organization-Id: "}
	got := slices.Sorted(slices.Values(head[2:]))
	if !slices.Equal(got, want) {
		t.Errorf("pod saw %q, want %q", got, want)
	}
}

func TestHeadersOfAConnectionStayOnIt(t *testing.T) {
	t.Parallel()
	head, body := seen(t, pod.Request{
		Envelope: pod.Envelope{Header: http.Header{
			"connection": {"close, X-Mine"}, "X-Mine": {"1"}, "Keep-Alive": {"1"}, "Proxy-Authorization": {"1"}, "Proxy-Connection": {"1"},
			"Upgrade": {"websocket"}, "transfer-encoding": {"chunked"}, "content-length": {"99"}, "Trailer": {"X"}, "TE": {"gzip"},
			"Expect": {"100-continue"}, "user-agent": {"one"}, "User-Agent": {"one"},
		}},
		Body: strings.NewReader("body"), ContentLength: 4,
	})
	got := slices.DeleteFunc(slices.Sorted(slices.Values(head[1:])), func(line string) bool {
		return strings.HasPrefix(line, "X-Ignite-") || strings.HasPrefix(line, "Host: 127.0.0.1:")
	})
	want := []string{"Content-Length: 4", "user-agent: one", "user-agent: one"}
	if !slices.Equal(got, want) || body != "body" {
		t.Errorf("pod saw %q and body %q, want %q", got, body, want)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read body: %v", err)
		}
		w.Header().Set("Length", fmt.Sprint(r.ContentLength))
		w.Write(content)
	}))
	t.Cleanup(echo.Close)
	target := targetOf(t, echo.URL)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, test := range []struct {
		name   string
		method string
		body   io.Reader
		length int64
		want   []byte
		seen   string
	}{
		{"none", "POST", nil, 0, nil, "0"},
		{"ignored", "POST", strings.NewReader("x"), 0, nil, "0"},
		{"in memory", "POST", bytes.NewReader(content), int64(len(content)), content, "1048576"},
		{"in memory, unknown", "POST", bytes.NewBuffer(content), -1, content, "1048576"},
		{"empty in memory, unknown", "POST", strings.NewReader(""), -1, nil, "0"},
		{"stream", "PUT", io.LimitReader(bytes.NewReader(content), 1000), 1000, content[:1000], "1000"},
		{"stream, unknown", "POST", io.LimitReader(bytes.NewReader(content), 1000), -1, content[:1000], "-1"},
		{"stream to GET, unknown", "GET", io.LimitReader(bytes.NewReader(content), 1000), -1, content[:1000], "-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			response, err := do(t, newClient(t), target, pod.Request{
				Envelope: pod.Envelope{Method: test.method}, Body: test.body, ContentLength: test.length,
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			if err != nil || !bytes.Equal(got, test.want) || response.Header.Get("Length") != test.seen {
				t.Errorf("pod saw %d bytes announced as %s, %v; want %d as %s", len(got), response.Header.Get("Length"), err, len(test.want), test.seen)
			}
		})
	}
}

func TestBodyInMemoryIsNotConsumed(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]io.Reader{
		"bytes.Reader":   bytes.NewReader([]byte("body")),
		"bytes.Buffer":   bytes.NewBufferString("body"),
		"strings.Reader": strings.NewReader("body"),
	} {
		for range 2 {
			if _, got := seen(t, pod.Request{Body: body, ContentLength: 4}); got != "body" {
				t.Errorf("%s: pod saw %q", name, got)
			}
		}
	}
}

func TestBodyOfTheCallerFails(t *testing.T) {
	t.Parallel()
	target := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false)
	broken := errors.New("caller left")
	for _, test := range []struct {
		name   string
		body   io.Reader
		length int64
		want   error
	}{
		{"read error", io.MultiReader(strings.NewReader("ab"), failing{broken}), 10, broken},
		{"too short", io.LimitReader(strings.NewReader("ab"), 2), 10, io.ErrUnexpectedEOF},
		{"too long", io.LimitReader(strings.NewReader("abcd"), 4), 2, nil},
		{"in memory too short", strings.NewReader("ab"), 10, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := do(t, newClient(t), target, pod.Request{Body: test.body, ContentLength: test.length})
			if err == nil || errors.Is(err, pod.ErrBroken) || errors.Is(err, pod.ErrUnreachable) {
				t.Fatalf("Do answered %v, want the caller's own failure", err)
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("Do answered %v, want %v", err, test.want)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestAnswerIsPassedThrough(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	io.WriteString(zip, "hello")
	zip.Close()
	t.Run("redirect", func(t *testing.T) {
		t.Parallel()
		target := answering(t, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nConnection: X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 5\r\nContent-Length: 2\r\n\r\nhi", false)
		response, err := do(t, newClient(t), target, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != 302 || response.Header.Get("Location") != "/elsewhere" || len(response.Header) != 2 {
			t.Errorf("got %d %v", response.StatusCode, response.Header)
		}
	})
	t.Run("gzip", func(t *testing.T) {
		t.Parallel()
		target := answering(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", packed.Len(), packed.Bytes()), false)
		response, err := do(t, newClient(t), target, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil || !bytes.Equal(got, packed.Bytes()) || response.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("got %q, %v, %v", got, response.Header, err)
		}
	})
	t.Run("trailers", func(t *testing.T) {
		t.Parallel()
		target := answering(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n", false)
		response, err := do(t, newClient(t), target, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil || string(got) != "hi" || response.Trailer.Get("X-Sum") != "7" {
			t.Errorf("got %q, trailers %v, %v", got, response.Trailer, err)
		}
	})
}

func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"hangs up":            "",
		"garbage":             "SSH-2.0\r\n",
		"half a head":         "HTTP/1.1 200 OK\r\nContent-",
		"short body":          "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
		"no final chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
		"cut chunk":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
		"cut trailers":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 7",
		"bad chunk":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"endless head":        "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",
		"switches unasked":    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"several 1xx, no end": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := answering(t, answer, true)
			response, err := do(t, newClient(t), target, get("/"))
			if err == nil {
				_, err = io.ReadAll(response.Body)
			}
			if !errors.Is(err, pod.ErrBroken) || errors.Is(err, pod.ErrUnreachable) {
				t.Errorf("got %v, want ErrBroken", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		target := pod.Target{Addr: &url.URL{Scheme: "http", Host: listener.Addr().String()}}
		body := &countingReader{}
		_, err = do(t, newClient(t), target, pod.Request{Body: body, ContentLength: 5})
		if !errors.Is(err, pod.ErrUnreachable) || body.reads.Load() != 0 {
			t.Errorf("got %v after %d reads of the body, want ErrUnreachable after none", err, body.reads.Load())
		}
	})
	t.Run("out of service before", func(t *testing.T) {
		t.Parallel()
		target := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false)
		target.OutOfService = closedChannel()
		if _, err := do(t, newClient(t), target, get("/")); !errors.Is(err, pod.ErrUnreachable) {
			t.Errorf("got %v, want ErrUnreachable", err)
		}
	})
	t.Run("no write gets out", func(t *testing.T) {
		t.Parallel()
		client := pod.NewClientDialing(func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			return ours, theirs.Close()
		})
		t.Cleanup(client.Close)
		target := pod.Target{Addr: &url.URL{Scheme: "http", Host: "pod"}}
		if _, err := do(t, client, target, get("/")); !errors.Is(err, pod.ErrUnreachable) {
			t.Errorf("got %v, want ErrUnreachable", err)
		}
	})
}

type countingReader struct{ reads atomic.Int32 }

func (c *countingReader) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return copy(p, "hello"), io.EOF
}

// A kept connection that the pod closes when the next call has reached it: an idempotent call may not be sent again either.
func TestACallIsNotSentTwice(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "PUT", "POST", "HEAD"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			target := rawPod(t, func(conn net.Conn) {
				in := bufio.NewReader(conn)
				for {
					if head, _ := readRequest(in); head == nil {
						return
					}
					if requests.Add(1) > 1 {
						return
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			client := newClient(t)
			request := pod.Request{
				Envelope: pod.Envelope{Method: method, Header: http.Header{"Idempotency-Key": {"1"}}},
			}
			if _, err := do(t, client, target, request); err != nil {
				t.Fatal(err)
			}
			if _, err := do(t, client, target, request); !errors.Is(err, pod.ErrBroken) {
				t.Errorf("second call got %v, want ErrBroken", err)
			}
			if got := requests.Load(); got != 2 {
				t.Errorf("pod saw %d requests, want 2", got)
			}
		})
	}
}

// A kept connection that takes no byte more is no failure where the call can go out on a new one, and is never ErrBroken.
func TestKeptConnectionThatEnded(t *testing.T) {
	t.Parallel()
	target := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false)
	for _, test := range []struct {
		name string
		body *countingReader
		want error
	}{
		{"no body", nil, nil},
		{"stream", &countingReader{}, pod.ErrUnreachable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var ended atomic.Bool
			client := pod.NewClientDialing(func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				return &endingConn{Conn: conn, ended: &ended}, err
			})
			t.Cleanup(client.Close)
			if _, err := do(t, client, target, get("/")); err != nil {
				t.Fatal(err)
			}
			ended.Store(true)
			request := pod.Request{}
			if test.body != nil {
				request.Body, request.ContentLength = test.body, 5
			}
			if _, err := do(t, client, target, request); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if test.body != nil && test.body.reads.Load() > 0 {
				t.Error("the body was read although nothing could be sent")
			}
		})
	}
}

// endingConn takes no more bytes, once, after ended is set.
type endingConn struct {
	net.Conn
	ended *atomic.Bool
}

func (c *endingConn) Write(p []byte) (int, error) {
	if c.ended.CompareAndSwap(true, false) {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hi") }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client, target := newClient(t), targetOf(t, server.URL)
	for range 10 {
		response, err := client.Do(t.Context(), target, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(response.Body); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("10 calls took %d connections, want 1", got)
	}
}

func TestRefusesWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	target := pod.Target{Addr: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}}
	if _, err := do(t, newClient(t), target, get("relative")); !isEnvelopeError(err, "path") {
		t.Errorf("got %v, want an EnvelopeError of the path", err)
	}
	request := pod.Request{Identity: pod.Identity{ExecutionID: "a\r\nX: y"}}
	if _, err := do(t, newClient(t), target, request); err == nil || errors.Is(err, pod.ErrUnreachable) {
		t.Errorf("got %v, want a refusal of the identity", err)
	}
}

func isEnvelopeError(err error, field string) bool {
	envelopeError, ok := errors.AsType[*pod.EnvelopeError](err)
	return ok && envelopeError.Field == field
}

func targetOf(t testing.TB, address string) pod.Target {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return pod.Target{Pod: "test", Addr: u}
}

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
