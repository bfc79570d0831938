package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// to makes a request one of the app with that label.
func to(label string) func(*http.Request) {
	return func(r *http.Request) { r.Host = label + "." + testDomain }
}

func TestDirectCallPassesThroughUntouched(t *testing.T) {
	t.Parallel()
	s := start(t)
	seen := make(chan *http.Request, 1)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["X-Two"] = []string{"a", "b"}
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusTeapot)
		say(w, "%s %s %s %s", r.Method, r.RequestURI, body, r.Trailer.Get("X-Mine"))
		w.Header().Set("X-Sum", "1")
		seen <- r
	}))
	response := s.do(t, "REPORT", "/v1/ignite/app/acme/a%2Fb|c?x=1&y=%zz;", "", to("hello-acme"), func(r *http.Request) {
		r.URL.Opaque = "/v1/ignite/app/acme/a%2Fb|c"
		r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader("payload"))
		r.Trailer = http.Header{"X-Mine": {"late"}}
		r.Header.Set("Cookie", "c=1")
		r.Header.Set("X-Ignite-Function-Id", "lie")
		r.Header["x_ignite_attempt"] = []string{"lie"}
		r.Header.Set("X-Forwarded-For", "10.1.1.1")
	})
	if got, want := readAll(t, response), "REPORT /v1/ignite/app/acme/a%2Fb|c?x=1&y=%zz; payload late"; got != want {
		t.Errorf("body is %q, want %q", got, want)
	}
	if response.StatusCode != 418 || !reflect.DeepEqual(response.Header["X-Two"], []string{"a", "b"}) || response.Trailer.Get("X-Sum") != "1" {
		t.Errorf("answer is %d %v %v", response.StatusCode, response.Header, response.Trailer)
	}
	r := <-seen
	for name, want := range map[string][]string{
		"Cookie": {"c=1"}, "X-Ignite-Function-Id": {"acme/hello"}, "X-Ignite-Organization-Id": {"acme-id"}, "X-Ignite-Attempt": {"1"},
		"X-Forwarded-For": {"10.1.1.1, 127.0.0.1"}, "Authorization": nil, "X_ignite_attempt": nil, "x_ignite_attempt": nil,
	} {
		if got := r.Header[name]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if !store.ValidExecutionID(r.Header.Get("X-Ignite-Execution-Id")) || r.Host != "hello-acme.apps.test" {
		t.Errorf("id %q, host %q", r.Header.Get("X-Ignite-Execution-Id"), r.Host)
	}
}

func TestWhoMayCallDirectly(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	s.publish(t, "public", "hello", http.HandlerFunc(echo))
	with := func(token string) func(*http.Request) {
		return func(r *http.Request) {
			if r.Header.Del("Authorization"); token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
		}
	}
	if response := s.do(t, "GET", "/", "", to("hello-public")); response.StatusCode != 418 {
		t.Errorf("a public app answers %d", response.StatusCode)
	}
	response := s.do(t, "GET", "/", "", to("hello-acme"), with(""))
	wantProblem(t, response, 401, codes.Unauthenticated, "bearer token")
	if response.Header.Get("WWW-Authenticate") == "" {
		t.Error("401 does not say how to authenticate")
	}
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-public"), with("")), 401, codes.Unauthenticated)
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme"), with("nonsense")), 401, codes.Unauthenticated)
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme"), with(s.token("other"))), 403, codes.PermissionDenied, "acme")
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme"), with(s.token("acme", "GetApp"))), 403, codes.PermissionDenied, "InvokeApp")
	wantProblem(t, s.do(t, "GET", "/", "", to("none-acme")), 404, codes.NotFound, "none-acme")
	wantProblem(t, s.do(t, "GET", "/", "", to("a.hello-acme")), 404, codes.NotFound)
}

func TestDirectEventsArriveAsTheyAreSent(t *testing.T) {
	t.Parallel()
	s := start(t)
	turn := make(chan struct{})
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			<-turn
			say(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	go func() { turn <- struct{}{} }()
	lines := bufio.NewScanner(s.do(t, "GET", "/", "", to("hello-acme")).Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) {
			t.Fatalf("line is %q, want event %d", lines.Text(), i)
		}
		lines.Scan()
		if i < 2 {
			turn <- struct{}{}
		}
	}
}

func TestDirectUpgradeOutlivesTheTimeout(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		shout(w, r)
	}))
	must(s.client.UpdateAppConfig(s.as(t, "acme"), &ignitev1.UpdateAppConfigRequest{
		OrganizationName: "acme", AppName: "hello", Limits: &ignitev1.ResourceLimits{TimeoutSecs: 1},
	}))
	conn, reader := s.upgrade(t)
	// A call that begins later runs out of time first.
	wantProblem(t, s.do(t, "GET", "/slow", "", to("hello-acme")), 504, codes.DeadlineExceeded)
	say(conn, "hello\n")
	if line := must(reader.ReadString('\n')); line != "HELLO\n" {
		t.Errorf("the pod answered %q", line)
	}
}

// upgrade switches a connection to the protocol of shout.
func (s *setup) upgrade(t testing.TB) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := must(net.Dial("tcp", s.api))
	t.Cleanup(func() { _ = conn.Close() })
	say(conn, "GET / HTTP/1.1\r\nHost: hello-acme.apps.test:80\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n", s.token("acme"))
	reader := bufio.NewReader(conn)
	response := must(http.ReadResponse(reader, nil))
	_ = response.Body.Close() // it is empty: what follows the head is another protocol
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade answered %s", response.Status)
	}
	return conn, reader
}

// shout switches protocols, and answers lines in upper case.
func shout(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "shout")
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	for {
		line, err := buffered.ReadString('\n')
		if err != nil {
			return
		}
		say(conn, "%s", strings.ToUpper(line))
	}
}

func TestUpgradedConnectionIsCutWhenItsPodGoes(t *testing.T) {
	t.Parallel()
	s := start(t)
	gone := make(chan struct{})
	s.pods.set(func(p *pods) { p.gone = gone })
	s.publish(t, "acme", "hello", http.HandlerFunc(shout))
	_, reader := s.upgrade(t)
	close(gone)
	if line, err := reader.ReadString('\n'); err == nil {
		t.Errorf("read %q", line)
	}
}

func TestDirectFailuresAreJSONUntilTheHead(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			say(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}))
	wantProblem(t, s.do(t, "POST", "/none", "x", to("hello-acme")), 502, codes.Unavailable, "pod failed")
	half := s.do(t, "GET", "/half", "", to("hello-acme"))
	if body, err := io.ReadAll(half.Body); string(body) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("body is %q, %v", body, err)
	}
	must(s.client.UpdateAppConfig(s.as(t, "acme"), &ignitev1.UpdateAppConfigRequest{
		OrganizationName: "acme", AppName: "hello", Limits: &ignitev1.ResourceLimits{TimeoutSecs: 1},
	}))
	wantProblem(t, s.do(t, "GET", "/slow", "", to("hello-acme")), 504, codes.DeadlineExceeded, "total timeout of 1s")
	s.pods.set(func(p *pods) { p.apps[ref] = closedPort(t) })
	wantProblem(t, s.do(t, "POST", "/", "body", to("hello-acme")), 503, codes.Unavailable, "could be reached")
	s.pods.set(func(p *pods) { p.fail = &pod.StartError{Pod: "x", Reason: "it exited"} })
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme")), 503, codes.Unavailable, "it exited")
}

// closedPort is an address where nobody listens.
func closedPort(t testing.TB) *url.URL {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	defer func() { _ = listener.Close() }()
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}
}

// mirror answers each piece of the body before it reads the next.
func mirror(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		panic(err)
	}
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

func TestDirectBodiesFlowBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(mirror))
	body, writer := io.Pipe()
	response := s.do(t, "POST", "/", "", to("hello-acme"), func(r *http.Request) { r.ContentLength, r.Body = -1, body })
	reader := bufio.NewReader(response.Body)
	for i := range 3 {
		say(writer, "line %d\n", i)
		if line := must(reader.ReadString('\n')); line != fmt.Sprintf("line %d\n", i) {
			t.Errorf("answer is %q", line)
		}
	}
	_ = writer.Close()
	if rest := must(io.ReadAll(reader)); len(rest) != 0 {
		t.Errorf("the rest is %q", rest)
	}
}

// The limit of payloads is for what is stored and held; a direct call is neither.
func TestDirectBodiesHaveNoLimit(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(mirror))
	big := strings.Repeat("x", testPayload+1)
	if got := readAll(t, s.do(t, "POST", "/", big, to("hello-acme"))); got != big {
		t.Errorf("%d bytes came back as %d", len(big), len(got))
	}
}
