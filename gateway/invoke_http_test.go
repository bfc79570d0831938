package gateway_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func marshal(m proto.Message) ([]byte, error) { return protojson.Marshal(m) }

const helloInvoke = "/v1/ignite/app/acme/hello/invoke"

func TestInvokeOverHTTPPromotesThePodsAnswer(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["X-Two"] = []string{"a", "b"}
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Content-Type", "text/x-mine")
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusCreated)
		say(w, "%s %s %v %s", r.Method, r.RequestURI, r.Header["X-Mine"], body)
		w.Header().Set("X-Sum", "1")
	}))
	response := s.do(t, "POST", helloInvoke, `{
		"http": {"method": "HTTP_METHOD_PATCH", "path": "/p", "query": "q=1", "headers": {"x-mine": "1"}, "header_fields": [{"name": "x-mine", "value": "2"}]},
		"body": "eyJrZXkiOiAidmFsdWUifQ=="}`)
	if response.StatusCode != 201 || response.Header.Get("Content-Type") != "text/x-mine" || !reflect.DeepEqual(response.Header["X-Two"], []string{"a", "b"}) {
		t.Errorf("head is %d %v", response.StatusCode, response.Header)
	}
	if id := response.Header.Get("X-Ignite-Execution-Id"); !strings.HasPrefix(id, "exec_") {
		t.Errorf("execution id is %q", id)
	}
	if response.Header.Get("Keep-Alive") != "" || response.ContentLength >= 0 {
		t.Errorf("a header of the pod's connection came through: %v", response.Header)
	}
	want := `PATCH /p?q=1 [1 2] {"key": "value"}`
	if got := readAll(t, response); got != want {
		t.Errorf("body is %q, want %q", got, want)
	}
	// net/http shows trailer names in its own spelling.
	trailer := response.Trailer
	if trailer.Get("Total_body_bytes") != fmt.Sprint(len(want)) || trailer.Get("Duration_ms") == "" || trailer.Get("X-Sum") != "1" {
		t.Errorf("trailers are %v", trailer)
	}
}

// A header that the pod did not send is none of ours to make up.
func TestInvokeOverHTTPAddsNoContentType(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		say(w, "<html>")
	}))
	response := s.do(t, "POST", helloInvoke, "")
	if got := response.Header["Content-Type"]; got != nil {
		t.Errorf("the content type is %q", got)
	}
}

func TestTrailersAreSpelledAsInTheSpecification(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, "hi") }))
	conn := must(net.Dial("tcp", s.api))
	defer func() { _ = conn.Close() }()
	say(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", helloInvoke, s.token("acme"))
	raw := string(must(io.ReadAll(conn)))
	if !strings.Contains(raw, "\r\nTrailer: total_body_bytes, duration_ms\r\n") || !strings.Contains(raw, "\r\n0\r\n") ||
		!strings.Contains(raw, "\r\ntotal_body_bytes: 2\r\n") || !strings.Contains(raw, "\r\nduration_ms: ") {
		t.Errorf("answer is %q", raw)
	}
}

func TestByteThatThePodFlushedArrives(t *testing.T) {
	t.Parallel()
	s := start(t)
	turn := make(chan struct{})
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/known" {
			w.Header().Set("Content-Length", "3")
		}
		for i := range 3 {
			<-turn
			say(w, "%d", i)
			_ = http.NewResponseController(w).Flush()
		}
		<-turn
	}))
	for _, path := range []string{"/unknown", "/known"} {
		// The pod writes a byte only when the one before was seen, so this ends only if none is held back.
		go func() { turn <- struct{}{} }()
		response := s.do(t, "POST", helloInvoke, `{"http":{"path":"`+path+`"}}`)
		for i := range 3 {
			var one [1]byte
			if _, err := io.ReadFull(response.Body, one[:]); err != nil || one[0] != byte('0'+i) {
				t.Fatalf("byte %d is %q, %v", i, one, err)
			}
			turn <- struct{}{}
		}
		if rest := readAll(t, response); rest != "" {
			t.Errorf("the rest is %q", rest)
		}
	}
}

func TestPodThatFailsOnTheWayAbortsTheAnswer(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		say(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	response := s.do(t, "POST", helloInvoke, "")
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != 200 || string(body) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("answer is %d %q, %v", response.StatusCode, body, err)
	}
	if response.Trailer.Get("Total_body_bytes") != "" {
		t.Errorf("trailers are %v", response.Trailer)
	}
}

func TestLeavingOverHTTPDisconnectsThePod(t *testing.T) {
	t.Parallel()
	s := start(t)
	left := make(chan struct{})
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		flood(w, r)
		left <- struct{}{}
	}))
	_ = s.do(t, "POST", helloInvoke, "").Body.Close()
	<-left
	_ = s.do(t, "GET", "/", "", to("hello-acme")).Body.Close()
	<-left
	s.wantNoErrorLogged(t)
}

func TestBadJSONIsNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	for name, c := range map[string]struct{ body, word string }{
		"no JSON":        {`{"body"`, "cannot be read"},
		"base64":         {`{"body": "%%%"}`, "body"},
		"unknown field":  {`{"bodi": "AA=="}`, "bodi"},
		"wrong type":     {`{"http": {"path": 3}}`, "path"},
		"unknown enum":   {`{"http": {"method": "HTTP_METHOD_BREW"}}`, "method"},
		"two values":     {`{} {}`, "cannot be read"},
		"other app":      {`{"app_name": "other"}`, "app_name"},
		"other org":      {`{"organizationName": "other"}`, "organization_name"},
		"huge bad value": {`{"body": "` + strings.Repeat("%", 1<<20) + `"}`, "body"},
	} {
		for _, path := range []string{helloInvoke, helloInvoke + "-async"} {
			t.Log(name, path)
			p := wantProblem(t, s.do(t, "POST", path, c.body), 400, codes.InvalidArgument, c.word)
			if len(p.Message) > 1000 {
				t.Errorf("the message has %d bytes", len(p.Message))
			}
		}
	}
	// What grpc-gateway reads is refused in the same words.
	wantProblem(t, s.do(t, "POST", "/v1/ignite/app/acme", `{"nam": "x"}`), 400, codes.InvalidArgument, "nam")
	wantProblem(t, s.do(t, "POST", "/v1/ignite/app/acme", `{"name": "x"} trailing`), 400, codes.InvalidArgument, "cannot be read")
	wantProblem(t, s.do(t, "GET", "/v1/ignite/app/acme/hello/versions/x", ""), 400, codes.InvalidArgument, "version")
}

func TestBodiesUpToTheLimit(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	for _, size := range []int{0, 1, 512 << 10, 1 << 20, testPayload} {
		body := bytes.Repeat([]byte{'x'}, size)
		envelope := `{"body":"` + base64.StdEncoding.EncodeToString(body) + `"}`
		if got := readAll(t, s.do(t, "POST", helloInvoke, envelope)); got != string(body) {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
		f := s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: body})
		if f.err != nil || f.body() != string(body) {
			t.Errorf("%d bytes came back as %d over gRPC: %v", size, len(f.body()), f.err)
		}
	}
}

func TestBodyOverTheLimitIsRefusedUnread(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	for path, limit := range map[string]int{helloInvoke: testPayload, helloInvoke + "-async": testPayload, "/v1/ignite/app/acme": testCode} {
		named := fmt.Sprintf("limit of %d bytes", limit) // as it was set, whatever base64 makes of it
		announced := s.do(t, "POST", path, "", func(r *http.Request) {
			r.ContentLength = 1 << 30
			r.Body = io.NopCloser(neverEnding{t})
			r.Header.Set("Expect", "100-continue")
		})
		wantProblem(t, announced, 413, codes.ResourceExhausted, named)
		chunked := s.do(t, "POST", path, "", func(r *http.Request) {
			r.ContentLength = -1
			r.Body = io.NopCloser(io.LimitReader(spaces{}, 64<<20))
		})
		wantProblem(t, chunked, 413, codes.ResourceExhausted, named)
	}
	over := `{"body":"` + base64.StdEncoding.EncodeToString(make([]byte, testPayload+1)) + `"}`
	wantProblem(t, s.do(t, "POST", helloInvoke, over), 413, codes.ResourceExhausted, fmt.Sprint(testPayload))
}

// neverEnding must not be read: the server answers without asking for it.
type neverEnding struct{ t testing.TB }

func (n neverEnding) Read([]byte) (int, error) {
	n.t.Error("the body was read")
	return 0, io.EOF
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
