package pod_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"dodil.io/ignite/engine/pod"
)

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

// A pod that does not want a large body answers and hangs up without reading it.
func TestAnswerBeforeTheBodyIsSent(t *testing.T) {
	t.Parallel()
	const refusal = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
	target := rawPod(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
		}
		fmt.Fprint(conn, refusal)
	})
	client := newClient(t)
	for range 50 {
		body := io.LimitReader(endless{}, 8<<20)
		response, err := do(t, client, target, pod.Request{Body: body, ContentLength: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(response.Body); err != nil || response.StatusCode != 413 || string(content) != "no" {
			t.Fatalf("got %d %q, %v", response.StatusCode, content, err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

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
					fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
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

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
