package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/gateway/proxy"
)

// listen answers every request head that comes with answer, hangs up, and then tells the head.
func listen(t *testing.T, answer string) (host string, heads <-chan string) {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { _ = listener.Close() })
	got := make(chan string, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				var head strings.Builder
				defer func() {
					_ = conn.Close()
					got <- head.String()
				}()
				reader := bufio.NewReader(conn)
				for !strings.HasSuffix(head.String(), "\r\n\r\n") {
					line, err := reader.ReadString('\n')
					if err != nil {
						return
					}
					head.WriteString(line)
				}
				_, _ = io.WriteString(conn, answer)
			}()
		}
	}()
	return listener.Addr().String(), got
}

// raw sends bytes and answers a reader of what comes back.
func raw(t *testing.T, front, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := must(net.Dial("tcp", strings.TrimPrefix(front, "http://")))
	t.Cleanup(func() { _ = conn.Close() })
	must(io.WriteString(conn, text))
	return conn, bufio.NewReader(conn)
}

func TestRequestArrivesByteForByte(t *testing.T) {
	t.Parallel()
	host, heads := listen(t, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	s := startTo(t, host, func(c *proxy.Call) {
		c.Drop = func(name string) bool { return name == "Secret" }
		c.Set = []proxy.Field{{Name: "X-Who", Value: "you"}}
	})
	raw(t, s.front, "REPORT /a%2Fb|c//d?x=%zz;&y HTTP/1.1\r\nHost: app.test:80\r\nX-Two: a\r\nX-Two: b\r\nSecret: s\r\n"+
		"Connection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: p\r\nTe: trailers, gzip\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n")
	head := <-heads
	if !strings.HasPrefix(head, "REPORT /a%2Fb|c//d?x=%zz;&y HTTP/1.1\r\nHost: app.test:80\r\n") {
		t.Errorf("head begins %q", head)
	}
	got := must(textproto.NewReader(bufio.NewReader(strings.NewReader(head[strings.Index(head, "\n")+1:]))).ReadMIMEHeader())
	want := textproto.MIMEHeader{
		"Host": {"app.test:80"}, "X-Two": {"a", "b"}, "X-Who": {"you"}, "Te": {"trailers"},
		"X-Forwarded-For": {"10.1.1.1, 127.0.0.1"}, "X-Forwarded-Host": {"app.test:80"}, "X-Forwarded-Proto": {"http"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("header is\n%v, want\n%v", got, want)
	}
}

func TestAnswerComesBackWhole(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["X-Two"] = []string{"a", "b"}
		w.Header().Set("Trailer", "X-Sum")
		w.Header()["Date"] = nil
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprintf(w, "%s %s", body, r.Trailer.Get("X-Mine"))
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
	}))
	for name, client := range map[string]*http.Client{"HTTP/1.1": overHTTP1(t), "HTTP/2": overHTTP2(t)} {
		r := request(t, "POST", s.front, "payload")
		r.ContentLength, r.Trailer = -1, http.Header{"X-Mine": {"late"}}
		response, body := do(t, client, r)
		if body != "payload late" || response.StatusCode != 418 || len(response.Header["X-Two"]) != 2 || len(response.Header["Date"]) != 0 {
			t.Errorf("%s: %d %q %v", name, response.StatusCode, body, response.Header)
		}
		if response.Trailer.Get("X-Sum") != "1" || response.Trailer.Get("X-Late") != "2" {
			t.Errorf("%s: trailers are %v", name, response.Trailer)
		}
	}
}

func TestAnswersWithoutBody(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/304" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Length", "12345678")
	}))
	client := overHTTP1(t)
	for range 2 {
		if response, body := do(t, client, request(t, "HEAD", s.front, "")); response.ContentLength != 12345678 || body != "" {
			t.Errorf("HEAD has length %d and %q", response.ContentLength, body)
		}
		if response, _ := do(t, client, request(t, "GET", s.front+"/304", "")); response.StatusCode != 304 {
			t.Errorf("answer is %d", response.StatusCode)
		}
	}
}

func TestBodiesOfAllSizes(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ContentLength >= 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		_, _ = w.Write(body)
	}))
	for name, client := range map[string]*http.Client{"HTTP/1.1": overHTTP1(t), "HTTP/2": overHTTP2(t)} {
		for _, size := range []int{0, 1, 4095, 16 << 10, 16<<10 + 1, 64 << 10, 1 << 20, 5<<20 + 3} {
			for _, known := range []bool{true, false} {
				text := strings.Repeat("x", size)
				r := request(t, "PUT", s.front, text)
				if !known {
					r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(text))
				}
				if _, got := do(t, client, r); got != text {
					t.Errorf("%s: %d bytes came back as %d", name, size, len(got))
				}
			}
		}
	}
}

func TestEarlyHintsComeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "done")
	}))
	for name, client := range map[string]*http.Client{"HTTP/1.1": overHTTP1(t), "HTTP/2": overHTTP2(t)} {
		var hints []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprintf("%d %s", status, header.Get("Link")))
			return nil
		}}
		r := request(t, "GET", s.front, "")
		response, body := do(t, client, r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		if len(hints) != 1 || hints[0] != "103 </style.css>; rel=preload" || body != "done" || response.Header.Get("Link") != "" {
			t.Errorf("%s: hints %q, answer %q %v", name, hints, body, response.Header)
		}
	}
}

func TestBodyWaitsForTheServersContinue(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") == "" {
			t.Error("the server does not see Expect")
		}
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.Copy(w, r.Body)
	}))
	head := "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
	_, refused := raw(t, s.front, "PUT /no "+head)
	if line := must(refused.ReadString('\n')); !strings.HasPrefix(line, "HTTP/1.1 403") {
		t.Errorf("answer is %q", line)
	}
	conn, reader := raw(t, s.front, "PUT /yes "+head)
	if line := must(reader.ReadString('\n')); line != "HTTP/1.1 100 Continue\r\n" {
		t.Errorf("answer is %q", line)
	}
	must(reader.ReadString('\n'))
	must(io.WriteString(conn, "body"))
	response := must(http.ReadResponse(reader, nil))
	if body := must(io.ReadAll(response.Body)); string(body) != "body" {
		t.Errorf("answer is %q", body)
	}
	_ = response.Body.Close()
}

// mirror answers each piece of the body before it reads the next.
func mirror(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/2 has it
	_ = control.Flush()
	piece := make([]byte, 1<<10)
	for {
		n, err := r.Body.Read(piece)
		if _, failed := w.Write(piece[:n]); err != nil || failed != nil {
			return
		}
		_ = control.Flush()
	}
}

func TestBodiesFlowBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(mirror))
	for name, client := range map[string]*http.Client{"HTTP/1.1": overHTTP1(t), "HTTP/2": overHTTP2(t)} {
		body, writer := io.Pipe()
		r := request(t, "POST", s.front, "")
		r.ContentLength, r.Body = -1, body
		response := must(client.Do(r))
		reader := bufio.NewReader(response.Body)
		for i := range 3 {
			must(fmt.Fprintf(writer, "line %d\n", i))
			if line := must(reader.ReadString('\n')); line != fmt.Sprintf("line %d\n", i) {
				t.Errorf("%s: answer is %q", name, line)
			}
		}
		_ = writer.Close()
		if rest := must(io.ReadAll(reader)); len(rest) != 0 {
			t.Errorf("%s: the rest is %q", name, rest)
		}
		_ = response.Body.Close()
	}
}

func TestRestOfABodyIsNotTheNextRequest(t *testing.T) {
	t.Parallel()
	calls := make(chan string, 10)
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls <- r.URL.Path
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.WriteString(w, "enough") // without reading the body
	}))
	for _, framing := range []string{"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 100000\r\n\r\nhello"} {
		conn, reader := raw(t, s.front, "POST /first HTTP/1.1\r\nHost: a\r\n"+framing)
		response := must(http.ReadResponse(reader, nil))
		if body := must(io.ReadAll(response.Body)); string(body) != "enough" {
			t.Errorf("answer is %q", body)
		}
		_ = response.Body.Close()
		_, _ = io.WriteString(conn, "GET /second HTTP/1.1\r\nHost: a\r\n\r\n") // it may be refused
		if rest, err := io.ReadAll(reader); len(rest) != 0 {
			t.Errorf("after the answer came %q, %v", rest, err)
		}
		if path := <-calls; path != "/first" || len(calls) != 0 {
			t.Errorf("server was called for %s, and %d times more", path, len(calls))
		}
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.RemoteAddr)
	}))
	seen := map[string]bool{}
	client := overHTTP1(t)
	for i := range 20 {
		r := request(t, "POST", s.front, strings.Repeat("x", i*2000))
		if i%2 == 1 {
			r.ContentLength = -1
		}
		_, address := do(t, client, r)
		seen[address] = true
		<-s.ended // the connection is given back before the answer's end is seen here, but not before Serve returns
	}
	if len(seen) != 1 {
		t.Errorf("%d connections were used", len(seen))
	}
}

// A server that hangs up after each answer without a word costs no call, even one that must not be made twice.
func TestServerThatHangsUpInSilence(t *testing.T) {
	t.Parallel()
	host, heads := listen(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	s := startTo(t, host)
	for range 20 {
		if _, body := do(t, overHTTP1(t), request(t, "POST", s.front, "")); body != "ok" {
			t.Fatalf("answer is %q", body)
		}
		<-heads
	}
}

func TestWhatEndsACall(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	arrived := make(chan struct{}, 10)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/half") {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	t.Run("its time", func(t *testing.T) {
		t.Parallel()
		s := start(t, handler, func(c *proxy.Call) { c.Timeout = 50 * time.Millisecond })
		if response, _ := do(t, overHTTP1(t), request(t, "GET", s.front, "")); response.StatusCode != 502 {
			t.Errorf("answer is %d", response.StatusCode)
		}
		s.wants(t, proxy.ErrTimeout, 0)
		response := must(overHTTP1(t).Do(request(t, "GET", s.front+"/half", "")))
		if body, err := io.ReadAll(response.Body); string(body) != "half" || err == nil {
			t.Errorf("answer is %q, %v", body, err)
		}
		_ = response.Body.Close()
		s.wants(t, proxy.ErrTimeout, 200)
	})
	t.Run("its caller", func(t *testing.T) {
		t.Parallel()
		s := start(t, handler)
		ctx, cancel := context.WithCancel(t.Context())
		response := must(overHTTP1(t).Do(request(t, "GET", s.front+"/half", "").WithContext(ctx)))
		cancel()
		_ = response.Body.Close()
		s.wants(t, context.Canceled, 200)
	})
	t.Run("its server", func(t *testing.T) {
		t.Parallel()
		s := start(t, handler, func(c *proxy.Call) { c.Gone = gone })
		response := must(overHTTP1(t).Do(request(t, "GET", s.front+"/half", "")))
		close(gone)
		if _, err := io.ReadAll(response.Body); err == nil {
			t.Error("the answer ended as if it were whole")
		}
		_ = response.Body.Close()
		s.wants(t, proxy.ErrGone, 200)
	})
}

// wants checks the outcome of the next call that ends.
func (s *setup) wants(t *testing.T, err error, status int) {
	t.Helper()
	if got := <-s.ended; !errors.Is(got.err, err) || got.status != status {
		t.Errorf("call ended with %v and status %d, want %v and %d", got.err, got.status, err, status)
	}
}

func TestServersThatBreakTheRules(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"says nothing":           "",
		"is no HTTP":             "hello\r\n\r\n",
		"has an endless head":    "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",
		"switches unasked":       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
		"hints without an end":   strings.Repeat("HTTP/1.1 102 Processing\r\nX-A: "+strings.Repeat("x", 1000)+"\r\n\r\n", 2000),
		"breaks off its head":    "HTTP/1.1 200 OK\r\nContent-Le",
		"has two lengths at all": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, _ := listen(t, answer)
			s := startTo(t, host)
			if response, body := do(t, overHTTP1(t), request(t, "POST", s.front, "x")); response.StatusCode != 502 {
				t.Errorf("answer is %d %q", response.StatusCode, body)
			}
			if got := <-s.ended; got.err == nil || got.status != 0 {
				t.Errorf("call ended with %v and status %d", got.err, got.status)
			}
		})
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	_ = listener.Close()
	s := startTo(t, listener.Addr().String())
	do(t, overHTTP1(t), request(t, "POST", s.front, "x"))
	got := <-s.ended
	if _, ok := errors.AsType[*proxy.DialError](got.err); !ok {
		t.Errorf("call ended with %v", got.err)
	}
}
