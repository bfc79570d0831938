package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// answer ends the execution with an answer of the app.
func (w *worker) answer(status int, body string, header, trailer http.Header) {
	w.t.Helper()
	w.update(func(e *store.Execution) {
		e.Status, e.FinishedAt = store.Completed, e.StartedAt.Add(1500*time.Millisecond)
		if status >= 400 {
			e.Status, e.Error = store.Failed, &store.ExecutionError{Code: "APP_ERROR", Message: fmt.Sprintf("the app answered %d", status)}
		}
		e.ResponseStatus, e.ResponseHeader, e.ResponseTrailer = status, header, trailer
		e.Result, e.ResultSize = []byte(body), int64(len(body))
	})
}

// answered is an execution whose pod answered so, and the path of its answer.
func (s *setup) answered(t testing.TB, status int, body string, header, trailer http.Header) (id, path string) {
	t.Helper()
	worker := s.submitted(t)
	worker.run()
	worker.answer(status, body, header, trailer)
	return worker.record.ID, "/v1/ignite/executions/" + worker.record.ID + "/response"
}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestResponseIsThePodsAnswer(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	for _, test := range []struct {
		status int
		body   string
		word   string
	}{
		{200, "hello", "EXECUTION_STATUS_COMPLETED"}, {200, "", "EXECUTION_STATUS_COMPLETED"}, {201, "made", "EXECUTION_STATUS_COMPLETED"},
		{204, "", "EXECUTION_STATUS_COMPLETED"}, {302, "there", "EXECUTION_STATUS_COMPLETED"}, {304, "", "EXECUTION_STATUS_COMPLETED"},
		{404, "none", "EXECUTION_STATUS_FAILED"}, {503, "later", "EXECUTION_STATUS_FAILED"},
	} {
		header := http.Header{
			"Content-Type": {"text/x-mine"}, "X-Two": {"a", "b"}, "Location": {"/elsewhere"}, "Content-Length": {"99"},
			"Keep-Alive": {"timeout=5"}, "Connection": {"X-Hop"}, "X-Hop": {"1"}, "X-Ignite-Execution-Id": {"forged"}, "X-Ignite-Execution-Status": {"forged"},
		}
		id, path := s.answered(t, test.status, test.body, header, nil)
		for range 2 { // any number of times
			response := s.do(t, "GET", path, "")
			body := readAll(t, response)
			if response.StatusCode != test.status || body != test.body || response.Header.Get("X-Ignite-Execution-Id") != id ||
				response.Header.Get("X-Ignite-Execution-Status") != test.word {
				t.Errorf("%d %q is answered %d %q with %v", test.status, test.body, response.StatusCode, body, response.Header)
			}
			if !reflect.DeepEqual(response.Header["X-Two"], []string{"a", "b"}) || response.Header.Get("Location") != "/elsewhere" ||
				response.Header.Get("Keep-Alive") != "" || response.Header.Get("X-Hop") != "" {
				t.Errorf("%d has headers %v", test.status, response.Header)
			}
			if test.body != "" && (response.ContentLength != int64(len(test.body)) || response.Header.Get("Content-Type") != "text/x-mine") {
				t.Errorf("%d has length %d and headers %v", test.status, response.ContentLength, response.Header)
			}
		}
	}
}

func TestResponseWithoutATypeHasNone(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	for _, status := range []int{200, 404} {
		_, path := s.answered(t, status, "<html>", nil, nil)
		if response := s.do(t, "GET", path, ""); len(response.Header["Content-Type"]) != 0 {
			t.Errorf("%d has headers %v", status, response.Header)
		}
	}
}

// The answer is an app's, and must not act for the API in a browser.
func TestResponseHasNoPowerOverTheAPI(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	header := http.Header{"Content-Type": {"text/html"}, "X-Mine": {"1"}}
	for _, name := range []string{
		"Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
		"Service-Worker-Allowed", "Alt-Svc", "Www-Authenticate", "Refresh", "Report-To", "Expires",
	} {
		header.Set(name, "evil")
	}
	header.Set("Content-Security-Policy", "default-src *")
	header.Set("X-Content-Type-Options", "evil")
	header.Set("Cache-Control", "public, max-age=31536000")
	for _, status := range []int{200, 401} {
		_, path := s.answered(t, status, "<script>alert(1)</script>", header, http.Header{"Set-Cookie": {"a=b"}})
		response := s.do(t, "GET", path, "")
		_ = readAll(t, response)
		if response.Header.Get("X-Mine") != "1" || response.Header.Get("Content-Type") != "text/html" {
			t.Errorf("headers are %v", response.Header)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "private, no-cache",
		} {
			if got := response.Header.Values(name); !reflect.DeepEqual(got, []string{want}) {
				t.Errorf("%s is %q", name, got)
			}
		}
		for name, values := range response.Header {
			if strings.Contains(strings.Join(values, " "), "evil") {
				t.Errorf("%s came through", name)
			}
		}
		if len(response.Trailer) != 0 {
			t.Errorf("trailers are %v", response.Trailer)
		}
	}
}

func TestPartsOfAResponse(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id, path := s.answered(t, 200, "0123456789", http.Header{"Content-Type": {"text/x-mine"}}, nil)
	etag := `"` + id + `"`
	for name, test := range map[string]struct {
		change []func(*http.Request)
		status int
		body   string
	}{
		"all of it":             {nil, 200, "0123456789"},
		"the middle":            {[]func(*http.Request){with("Range", "bytes=2-4")}, 206, "234"},
		"the end":               {[]func(*http.Request){with("Range", "bytes=-3")}, 206, "789"},
		"the rest":              {[]func(*http.Request){with("Range", "bytes=7-")}, 206, "789"},
		"more than there is":    {[]func(*http.Request){with("Range", "bytes=8-99")}, 206, "89"},
		"if it is the same":     {[]func(*http.Request){with("Range", "bytes=2-4"), with("If-Range", etag)}, 206, "234"},
		"if it is another":      {[]func(*http.Request){with("Range", "bytes=2-4"), with("If-Range", `"x"`)}, 200, "0123456789"},
		"unless it is the same": {[]func(*http.Request){with("If-None-Match", etag)}, 304, ""},
	} {
		response := s.do(t, "GET", path, "", test.change...)
		if body := readAll(t, response); response.StatusCode != test.status || body != test.body || response.Header.Get("Etag") != etag {
			t.Errorf("%s is answered %d %q with %v", name, response.StatusCode, body, response.Header)
		}
	}
	if response := s.do(t, "GET", path, ""); response.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("headers are %v", response.Header)
	}
	if response := s.do(t, "GET", path, "", with("Range", "bytes=2-4")); response.Header.Get("Content-Range") != "bytes 2-4/10" || response.ContentLength != 3 {
		t.Errorf("a part has %d bytes and headers %v", response.ContentLength, response.Header)
	}
	head := s.do(t, "HEAD", path, "")
	if body := readAll(t, head); head.StatusCode != 200 || head.ContentLength != 10 || body != "" || head.Header.Get("Etag") != etag {
		t.Errorf("HEAD is answered %d %q with %v", head.StatusCode, body, head.Header)
	}

	beyond := s.do(t, "GET", path, "", with("Range", "bytes=10-"))
	wantProblem(t, beyond, 416, codes.OutOfRange, "range")
	if beyond.Header.Get("Content-Range") != "bytes */10" || beyond.Header.Get("X-Ignite-Execution-Status") != "" {
		t.Errorf("what is beyond the end has headers %v", beyond.Header)
	}
	wantProblem(t, s.do(t, "GET", path, "", with("If-Match", `"x"`)), 412, codes.FailedPrecondition, "If-Match")
}

func TestSeveralPartsOfAResponse(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	_, path := s.answered(t, 200, "0123456789", http.Header{"Content-Type": {"text/x-mine"}}, nil)
	response := s.do(t, "GET", path, "", with("Range", "bytes=0-1,8-"))
	media, params, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || response.StatusCode != 206 || media != "multipart/byteranges" {
		t.Fatalf("the answer is %d with %v", response.StatusCode, response.Header)
	}
	parts := multipart.NewReader(response.Body, params["boundary"])
	for _, want := range []string{"bytes 0-1/10 01", "bytes 8-9/10 89"} {
		part := must(parts.NextPart())
		if got := part.Header.Get("Content-Range") + " " + string(must(io.ReadAll(part))); got != want || part.Header.Get("Content-Type") != "text/x-mine" {
			t.Errorf("a part is %q, want %q", got, want)
		}
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last part: %v", err)
	}
}

// A part is a part of an answer that is a 200; any other is given as it is.
func TestOtherAnswersHaveNoParts(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	_, path := s.answered(t, 404, "0123456789", http.Header{"Accept-Ranges": {"bytes"}}, nil)
	response := s.do(t, "GET", path, "", with("Range", "bytes=2-4"))
	if body := readAll(t, response); response.StatusCode != 404 || body != "0123456789" || response.Header.Get("Accept-Ranges") != "" {
		t.Errorf("the answer is %d %q with %v", response.StatusCode, body, response.Header)
	}
}

func TestPodsOwnETagHolds(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	changed := "Wed, 21 Oct 2015 07:28:00 GMT"
	_, path := s.answered(t, 200, "0123456789", http.Header{"Etag": {`"mine"`}, "Last-Modified": {changed}}, nil)
	for name, test := range map[string]struct {
		change []func(*http.Request)
		status int
	}{
		"by tag":  {[]func(*http.Request){with("Range", "bytes=2-4"), with("If-Range", `"mine"`)}, 206},
		"by time": {[]func(*http.Request){with("Range", "bytes=2-4"), with("If-Range", changed)}, 206},
		"known":   {[]func(*http.Request){with("If-Modified-Since", changed)}, 304},
	} {
		response := s.do(t, "GET", path, "", test.change...)
		if response.StatusCode != test.status || response.Header.Get("Etag") != `"mine"` || test.status != 304 && response.Header.Get("Last-Modified") != changed {
			t.Errorf("%s is answered %d with %v", name, response.StatusCode, response.Header)
		}
	}
}

func TestTrailersOfAResponse(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	for _, status := range []int{200, 500} {
		_, path := s.answered(t, status, "0123456789", nil, http.Header{"X-Sum": {"45"}})
		response := s.do(t, "GET", path, "")
		if body := readAll(t, response); response.StatusCode != status || body != "0123456789" || response.Trailer.Get("X-Sum") != "45" {
			t.Errorf("%d is answered %d %q with trailers %v", status, response.StatusCode, body, response.Trailer)
		}
		head := s.do(t, "HEAD", path, "")
		if body := readAll(t, head); head.StatusCode != status || body != "" {
			t.Errorf("HEAD of %d is answered %d %q", status, head.StatusCode, body)
		}
	}
	_, path := s.answered(t, 200, "0123456789", nil, http.Header{"X-Sum": {"45"}})
	if part := s.do(t, "GET", path, "", with("Range", "bytes=2-4")); readAll(t, part) != "234" || part.ContentLength != 3 || len(part.Trailer) != 0 {
		t.Errorf("a part has %d bytes and trailers %v", part.ContentLength, part.Trailer)
	}
}

func TestResponseOverGRPCHasTheFramesOfInvoke(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	body := strings.Repeat("x", 3<<20)
	worker := s.submitted(t)
	worker.run()
	object := "result." + worker.record.ID + ".1"
	if err := s.store.KeepPayload(t.Context(), object, []byte(body), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	worker.update(func(e *store.Execution) {
		e.Status, e.FinishedAt, e.ResultObject, e.ResultSize = store.Completed, e.StartedAt.Add(1500*time.Millisecond), object, int64(len(body))
		e.ResponseStatus, e.ResponseHeader, e.ResponseTrailer = 201, http.Header{"X-Two": {"a", "b"}}, http.Header{"X-Sum": {"45"}}
	})
	id := worker.record.ID
	stream := must(s.client.FetchResponse(s.as(t, "acme"), &ignitev1.FetchResponseRequest{ExecutionId: id}))
	head := must(stream.Recv()).GetHead()
	if head.GetStatusCode() != 201 || head.GetExecutionId() != id || head.GetResponseHeaders()["x-two"] != "a, b" || len(head.GetResponseHeaderFields()) != 2 {
		t.Errorf("head is %v", head)
	}
	var whole strings.Builder
	var trailer *ignitev1.InvokeTrailer
	for trailer == nil {
		frame := must(stream.Recv())
		whole.Write(frame.GetChunk().GetData())
		trailer = frame.GetTrailer()
	}
	if whole.String() != body || trailer.GetTotalBodyBytes() != int64(len(body)) || trailer.GetDurationMs() != 1500 || trailer.GetTrailers()["x-sum"] != "45" {
		t.Errorf("%d bytes came, and trailer %v", whole.Len(), trailer)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the trailer: %v", err)
	}
}

// What has no answer says what to do, and is told from an app's own 400.
func TestExecutionsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	waits, runs, started, broke, cut := s.submitted(t), s.submitted(t), s.submitted(t), s.submitted(t), s.submitted(t)
	for _, worker := range []*worker{runs, started, broke, cut} {
		worker.run()
	}
	started.update(func(e *store.Execution) {
		e.Status, e.Error = store.Failed, &store.ExecutionError{Code: "POD_START_FAILED", Message: "exit status 1"}
	})
	broke.update(func(e *store.Execution) {
		e.Status, e.Error = store.Timeout, &store.ExecutionError{Code: "TIMEOUT_IDLE", Message: "the idle clock ran out"}
		e.ResponseStatus, e.Result, e.ResultSize = 200, []byte("hal"), 3
	})
	s.cancel(t, cut.record.ID, "enough")
	for id, words := range map[string][]string{
		waits.record.ID:   {"no answer yet", "PENDING", "wait"},
		runs.record.ID:    {"no answer yet", "RUNNING", "wait"},
		started.record.ID: {"will have none", "FAILED", "POD_START_FAILED", "exit status 1"},
		broke.record.ID:   {"not whole", "TIMEOUT_IDLE", "GetExecution"},
		cut.record.ID:     {"will have none", "CANCELLED", "enough"},
	} {
		response := s.do(t, "GET", "/v1/ignite/executions/"+id+"/response", "")
		if response.Header.Get("X-Ignite-Execution-Status") != "" {
			t.Errorf("an error of ours has headers %v", response.Header)
		}
		wantProblem(t, response, 400, codes.FailedPrecondition, words...)
		wantCode(t, s.fetch(s.as(t, "acme"), id), codes.FailedPrecondition, words...)
	}
	id, path := s.answered(t, 200, "x", nil, nil)
	wantCode(t, s.fetch(s.as(t, "other"), id), codes.NotFound)
	wantCode(t, s.fetch(s.as(t, "acme", "InvokeApp"), id), codes.PermissionDenied)
	wantProblem(t, s.do(t, "GET", strings.Replace(path, id, "exec_x", 1), ""), 404, codes.NotFound)
	wantProblem(t, s.do(t, "GET", path, "", with("Authorization", "Bearer x")), 401, codes.Unauthenticated)
}

// fetch answers the error of a FetchResponse that gives nothing.
func (s *setup) fetch(ctx context.Context, id string) error {
	_, err := must(s.client.FetchResponse(ctx, &ignitev1.FetchResponseRequest{ExecutionId: id})).Recv()
	return err
}
