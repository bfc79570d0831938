package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// frames reads an Invoke stream to its end.
type frames struct {
	head    *ignitev1.InvokeHead
	chunks  []string
	trailer *ignitev1.InvokeTrailer
	err     error
}

func (f frames) body() string { return strings.Join(f.chunks, "") }

func (s *setup) invoke(t testing.TB, ctx context.Context, r *ignitev1.InvokeRequest) frames { //nolint:revive // t comes first in tests
	t.Helper()
	stream, err := s.client.Invoke(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	var f frames
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return f
		}
		if err != nil {
			f.err = err
			return f
		}
		f.add(t, frame)
	}
}

// add checks the order of frames.
func (f *frames) add(t testing.TB, frame *ignitev1.InvokeResponse) {
	t.Helper()
	if (f.head == nil) != (frame.GetHead() != nil) || f.trailer != nil {
		t.Errorf("frame %v is out of order", frame)
	}
	switch frame := frame.GetFrame().(type) {
	case *ignitev1.InvokeResponse_Head:
		f.head = frame.Head
	case *ignitev1.InvokeResponse_Chunk:
		f.chunks = append(f.chunks, string(frame.Chunk.GetData()))
	case *ignitev1.InvokeResponse_Trailer:
		f.trailer = frame.Trailer
	}
}

// echo answers what it was asked, in a form to compare.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header()["X-Two"] = []string{"a", "b"}
	w.WriteHeader(http.StatusTeapot)
	say(w, "%s %s %s %v %s", r.Method, r.RequestURI, r.Host, r.Header["X-Mine"], body)
}

func TestInvokeSendsHeadChunkTrailer(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	f := s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{
		OrganizationName: "acme", AppName: "hello", Body: []byte("payload"),
		Http: &ignitev1.HttpContext{
			Method: ignitev1.HttpMethod_HTTP_METHOD_PUT, Path: "/a%2Fb/c|d", Query: "x=1&x=%20;y",
			Headers:      map[string]string{"x-mine": "1", "host": "else.where"},
			HeaderFields: []*ignitev1.HeaderField{{Name: "x-mine", Value: "2"}, {Name: "X-Mine", Value: "3"}},
		},
	})
	if f.err != nil {
		t.Fatal(f.err)
	}
	want := "PUT /a%2Fb/c|d?x=1&x=%20;y else.where [1 2 3] payload"
	if len(f.chunks) != 1 || f.chunks[0] != want {
		t.Errorf("chunks are %q, want one of %q", f.chunks, want)
	}
	if f.head.GetStatusCode() != 418 || f.head.GetResponseHeaders()["x-two"] != "a, b" || !strings.HasPrefix(f.head.GetExecutionId(), "exec_") {
		t.Errorf("head is %v", f.head)
	}
	var two []string
	for _, field := range f.head.GetResponseHeaderFields() {
		if field.GetName() == "x-two" {
			two = append(two, field.GetValue())
		}
	}
	if !reflect.DeepEqual(two, []string{"a", "b"}) {
		t.Errorf("header lines are %v", f.head.GetResponseHeaderFields())
	}
	if f.trailer.GetTotalBodyBytes() != int64(len(want)) || f.trailer.GetDurationMs() < 0 {
		t.Errorf("trailer is %v", f.trailer)
	}
	_, err := s.client.GetExecution(s.as(t, "acme"), &ignitev1.GetExecutionRequest{ExecutionId: f.head.GetExecutionId()})
	wantCode(t, err, codes.NotFound)
}

func TestMissingHTTPPartIsPostRoot(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say(w, "%s %s %v", r.Method, r.RequestURI, r.Header["User-Agent"])
	}))
	f := s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	if f.body() != "POST / []" {
		t.Errorf("the pod saw %q", f.body())
	}
}

func TestPodLearnsWhoCallsAndCannotBeLiedTo(t *testing.T) {
	t.Parallel()
	s := start(t)
	seen := make(chan http.Header, 1)
	s.publish(t, "public", "hello", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	token := s.token("acme")
	lies := map[string]string{"x-ignite-execution-id": "lie", "X-Ignite-Function-Id": "lie", "x_ignite_organization_id": "lie", "x-ignite-attempt": "9"}
	lies["authorization"] = "bearer " + token
	f := s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "public", AppName: "hello", Http: &ignitev1.HttpContext{
		Headers: lies, HeaderFields: []*ignitev1.HeaderField{{Name: "authorization", Value: "Basic of-the-app"}},
	}})
	if f.err != nil {
		t.Fatal(f.err)
	}
	header := <-seen
	want := map[string]string{
		"X-Ignite-Execution-Id": f.head.GetExecutionId(), "X-Ignite-Function-Id": "public/hello",
		"X-Ignite-Organization-Id": "acme-id", "X-Ignite-Attempt": "1",
	}
	for name, value := range want {
		if got := header[name]; !reflect.DeepEqual(got, []string{value}) {
			t.Errorf("%s is %v, want %s", name, got, value)
		}
	}
	for name, values := range header {
		if strings.Contains(strings.Join(values, " "), "lie") || strings.Contains(strings.Join(values, " "), token) {
			t.Errorf("the pod saw %s: %v", name, values)
		}
	}
}

func TestTokenDoesNotReachThePodButItsOwnCredentialsDo(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say(w, "%v", r.Header["Authorization"])
	}))
	token := s.token("acme")
	ask := func(values ...string) string {
		envelope := &ignitev1.HttpContext{}
		for _, value := range values {
			envelope.HeaderFields = append(envelope.HeaderFields, &ignitev1.HeaderField{Name: "authorization", Value: value})
		}
		response := s.do(t, "POST", "/v1/ignite/app/acme/hello/invoke", string(must(marshal(&ignitev1.InvokeRequest{Http: envelope}))),
			func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
		return readAll(t, response)
	}
	if got := ask("Bearer "+token, "bearer  "+token); got != "[]" {
		t.Errorf("the pod saw the token: %s", got)
	}
	if got := ask("Basic abc"); got != "[Basic abc]" {
		t.Errorf("the pod saw %s", got)
	}
	if strings.Contains(s.log.String(), token) {
		t.Error("the log has the token")
	}
}

func TestAnswersWithoutBodyHaveNoChunk(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.WriteHeader(http.StatusNotModified)
		case "/head":
			w.Header().Set("Content-Length", "5000000")
		}
	}))
	for path, method := range map[string]ignitev1.HttpMethod{
		"/204": ignitev1.HttpMethod_HTTP_METHOD_GET, "/304": ignitev1.HttpMethod_HTTP_METHOD_GET,
		"/empty": ignitev1.HttpMethod_HTTP_METHOD_POST, "/head": ignitev1.HttpMethod_HTTP_METHOD_HEAD,
	} {
		f := s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello",
			Http: &ignitev1.HttpContext{Method: method, Path: path}})
		if f.err != nil || len(f.chunks) != 0 || f.trailer == nil || f.trailer.GetTotalBodyBytes() != 0 {
			t.Errorf("%s: chunks %q, trailer %v, error %v", path, f.chunks, f.trailer, f.err)
		}
	}
}

func TestLargeAnswersComeInFramesThatClientsTake(t *testing.T) {
	t.Parallel()
	s := start(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 160<<10) // 2.5 MiB
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		_, _ = w.Write(big)
	}))
	f := s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	if f.err != nil || len(f.chunks) != 3 || f.body() != string(big) || f.trailer.GetTotalBodyBytes() != int64(len(big)) {
		t.Errorf("%d bytes came in %d chunks, trailer %v, error %v", len(f.body()), len(f.chunks), f.trailer, f.err)
	}
}

func TestStreamedAnswerComesPieceByPiece(t *testing.T) {
	t.Parallel()
	s := start(t)
	turn := make(chan struct{})
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_ = http.NewResponseController(w).Flush()
		for i := range 3 {
			<-turn
			say(w, "piece %d", i)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("X-Sum", "3")
	}))
	stream := must(s.client.Invoke(s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}))
	if head := must(stream.Recv()); head.GetHead().GetStatusCode() != 200 {
		t.Fatalf("first frame is %v", head)
	}
	for i := range 3 {
		turn <- struct{}{}
		if chunk := must(stream.Recv()).GetChunk(); string(chunk.GetData()) != fmt.Sprintf("piece %d", i) {
			t.Errorf("chunk %d is %q", i, chunk.GetData())
		}
	}
	if trailer := must(stream.Recv()).GetTrailer(); trailer.GetTrailers()["x-sum"] != "3" || trailer.GetTotalBodyBytes() != 21 {
		t.Errorf("trailer is %v", trailer)
	}
}

func TestPodThatFailsOnTheWayEndsTheStreamWithAnError(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		say(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	f := s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	wantCode(t, f.err, codes.Unavailable, "pod failed")
	if f.head.GetStatusCode() != 200 || f.body() != "half" || f.trailer != nil {
		t.Errorf("head %v, body %q, trailer %v", f.head, f.body(), f.trailer)
	}
}

func TestCallerWhoLeavesDisconnectsThePod(t *testing.T) {
	t.Parallel()
	s := start(t)
	left := make(chan struct{})
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		flood(w, r)
	}))
	ctx, leave := context.WithCancel(s.as(t, "acme"))
	stream := must(s.client.Invoke(ctx, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}))
	must(stream.Recv())
	leave()
	<-left
	s.wantNoErrorLogged(t)
}

// flood writes until nobody reads any more.
func flood(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		_, _ = w.Write(make([]byte, 1<<10))
		_ = http.NewResponseController(w).Flush()
	}
}

// wantNoErrorLogged stops the server and looks at its log.
func (s *setup) wantNoErrorLogged(t testing.TB) {
	t.Helper()
	s.stop()
	<-s.stopped
	if log := s.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("that a caller left is logged as an error: %s", log)
	}
}

func TestWhyACallGetsNoPod(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	s.publish(t, "public", "hello", http.NotFoundHandler())
	start := &pod.StartError{Pod: "hello-1-x", Reason: "it exited with 3", Log: []string{"secret of the app"}}
	for _, c := range []struct {
		err  error
		code codes.Code
		http int
		word string
		// retry is the Retry-After header.
		retry string
	}{
		{fmt.Errorf("get a pod: %w", start), codes.Unavailable, 503, "secret of the app", ""},
		{fmt.Errorf("get a pod: %w", pod.ErrBusy), codes.ResourceExhausted, 503, "try again", "1"},
		{fmt.Errorf("get a pod: %w", &pod.TimeoutError{Clock: "cold start", Limit: time.Minute}), codes.DeadlineExceeded, 504, "cold start timeout of 1m0s", ""},
		{fmt.Errorf("get a pod: %w", pod.ErrUnreachable), codes.Unavailable, 503, "try again", "1"},
		{fmt.Errorf("get a pod: %w", pod.ErrBroken), codes.Unavailable, 502, "pod failed", ""},
		{fmt.Errorf("get a pod: %w", pod.ErrAppGone), codes.NotFound, 404, "deleted", ""},
		{errors.New("the dog ate it"), codes.Internal, 500, "the log has it under request", ""},
	} {
		s.pods.set(func(p *pods) { p.fail = c.err })
		f := s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
		wantCode(t, f.err, c.code, c.word)
		response := s.do(t, "POST", "/v1/ignite/app/acme/hello/invoke", "")
		wantProblem(t, response, c.http, c.code, c.word)
		if got := response.Header.Get("Retry-After"); got != c.retry {
			t.Errorf("%v: Retry-After is %q, want %q", c.err, got, c.retry)
		}
	}
	if !strings.Contains(s.log.String(), "the dog ate it") {
		t.Error("the log lacks the text of an internal error")
	}
	s.pods.set(func(p *pods) { p.fail = start })
	f := s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "public", AppName: "hello"})
	wantCode(t, f.err, codes.Unavailable, "exited with 3")
	if strings.Contains(f.err.Error(), "secret") {
		t.Errorf("another organization's caller reads the log: %v", f.err)
	}
}

func TestEnvelopesThatAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	s.newApp(t, "draft")
	for name, c := range map[string]struct {
		request *ignitev1.InvokeRequest
		code    codes.Code
		word    string
	}{
		"unknown app":     {&ignitev1.InvokeRequest{AppName: "none"}, codes.NotFound, "none"},
		"bad name":        {&ignitev1.InvokeRequest{AppName: "No_Name"}, codes.InvalidArgument, "app_name"},
		"never published": {&ignitev1.InvokeRequest{AppName: "draft"}, codes.FailedPrecondition, "never published"},
		"method":          {&ignitev1.InvokeRequest{AppName: "hello", Http: &ignitev1.HttpContext{Method: 99}}, codes.InvalidArgument, "http.method"},
		"path":            {&ignitev1.InvokeRequest{AppName: "hello", Http: &ignitev1.HttpContext{Path: "x"}}, codes.InvalidArgument, "http.path"},
		"query":           {&ignitev1.InvokeRequest{AppName: "hello", Http: &ignitev1.HttpContext{Query: "a b"}}, codes.InvalidArgument, "http.query"},
		"header":          {&ignitev1.InvokeRequest{AppName: "hello", Http: &ignitev1.HttpContext{Headers: map[string]string{"a b": ""}}}, codes.InvalidArgument, "http.headers"},
		"head too large":  {&ignitev1.InvokeRequest{AppName: "hello", Http: &ignitev1.HttpContext{Path: "/" + strings.Repeat("x", 300<<10)}}, codes.InvalidArgument, "http"},
		"body too large":  {&ignitev1.InvokeRequest{AppName: "hello", Body: make([]byte, testPayload+1)}, codes.ResourceExhausted, fmt.Sprint(testPayload)},
	} {
		c.request.OrganizationName = "acme"
		f := s.invoke(t, s.as(t, "acme"), c.request)
		_, err := s.client.InvokeAsync(s.as(t, "acme"), c.request)
		for _, err := range []error{f.err, err} {
			t.Log(name)
			wantCode(t, err, c.code, c.word)
		}
	}
}
