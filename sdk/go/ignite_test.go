package ignite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func ask(t *testing.T, h Handler, method, body string, header http.Header) (status int, kind, answer string) {
	t.Helper()
	request := httptest.NewRequest(method, "/any/path?x=y", strings.NewReader(body))
	if header != nil {
		request.Header = header
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return recorder.Code, recorder.Header().Get("Content-Type"), recorder.Body.String()
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const bytes, json, text = "application/octet-stream", "application/json", "text/plain; charset=utf-8"
	echo := func(payload []byte, _ *Context) ([]byte, error) { return payload, nil }
	cases := []struct {
		name, method string
		handler      Handler
		status       int
		kind, want   string
	}{
		{"bytes as they are", "POST", echo, 200, bytes, "\x00payload\xff"},
		{"nothing", "POST", func([]byte, *Context) ([]byte, error) { return nil, nil }, 200, bytes, ""},
		{"an error", "POST", func([]byte, *Context) ([]byte, error) { return []byte("x"), errors.New(`a "reason"`) }, 500, json, `{"error":"a \"reason\""}`},
		{"a panic", "POST", func([]byte, *Context) ([]byte, error) { panic("oops") }, 500, json, `{"error":"panic: oops"}`},
		{"a bug", "POST", func([]byte, *Context) ([]byte, error) { var none []byte; return none[1:2], nil }, 500, json,
			`{"error":"panic: runtime error: slice bounds out of range [:2] with capacity 0"}`},
		{"an error that panics", "POST", func([]byte, *Context) ([]byte, error) { return nil, (*net.OpError)(nil) }, 500, json, `{"error":"\u003cnil\u003e"}`},
		{"health", "GET", nil, 200, json, `{"status":"ok"}`},
		{"head", "HEAD", nil, 200, json, `{"status":"ok"}`},
		{"another verb", "PUT", nil, 405, text, "a function is called with POST\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, kind, answer := ask(t, c.handler, c.method, "\x00payload\xff", nil)
			if status != c.status || kind != c.kind || answer != c.want {
				t.Errorf("got %d, %s, %q", status, kind, answer)
			}
		})
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	header := http.Header{}
	header.Set("x-ignite-execution-id", "exec_1")
	header.Set("x-ignite-function-id", "acme/hello")
	header.Set("x-ignite-organization-id", "org_1")
	header.Set("x-own", "mine")
	handler := func(_ []byte, ctx *Context) ([]byte, error) {
		return fmt.Append(nil, ctx.ExecutionID, " ", ctx.FunctionID, " ", ctx.OrganizationID, " ", ctx.Headers.Get("X-Own"), " ", ctx.Context().Err()), nil
	}
	if _, _, got := ask(t, handler, "POST", "", header); got != "exec_1 acme/hello org_1 mine <nil>" {
		t.Errorf("got %q", got)
	}
	if err := new(Context).Context().Err(); err != nil {
		t.Errorf("one made by hand has ended: %v", err)
	}
}

// serving runs h until stop is called; served gets what serve answers.
func serving(t *testing.T, h Handler) (url string, stop func(), served chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	served = make(chan error, 1)
	go func() { served <- serve(ctx, listener, h) }()
	return "http://" + listener.Addr().String(), stop, served
}

func post(ctx context.Context, t *testing.T, url, body string) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return string(answer), err
}

func TestStoppingFinishesWhatItHas(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	url, stop, served := serving(t, func(payload []byte, _ *Context) ([]byte, error) {
		close(begun)
		<-end
		return payload, nil
	})
	answered := make(chan string, 1)
	go func() {
		answer, err := post(t.Context(), t, url, "hello")
		answered <- fmt.Sprint(answer, err)
	}()
	<-begun
	stop()
	select {
	case err := <-served:
		t.Errorf("it ended with %v while a call ran", err)
	case <-time.After(20 * time.Millisecond): // long enough for one that does not wait
	}
	close(end)
	if got := <-answered; got != "hello<nil>" {
		t.Errorf("the call was answered %s", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestTheContextEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan struct{})
	url, _, _ := serving(t, func(_ []byte, ctx *Context) ([]byte, error) {
		close(begun)
		<-ctx.Context().Done()
		close(ended)
		return nil, nil
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-begun
		leave()
	}()
	if _, err := post(ctx, t, url, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got the error %v", err)
	}
	<-ended
}

func TestErrorsAndPanicsAreLogged(t *testing.T) {
	var printed bytes.Buffer
	log.SetOutput(&printed)
	defer log.SetOutput(io.Discard)
	named := http.Header{"X-Ignite-Execution-Id": {"exec_1"}}
	ask(t, func([]byte, *Context) ([]byte, error) { return nil, errors.New("the reason") }, "POST", "", named)
	ask(t, func([]byte, *Context) ([]byte, error) { panic("oops") }, "POST", "", nil)
	for _, want := range []string{"exec_1: the reason", "call: panic: oops", "ignite_test.go"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("%q is not in the log %s", want, printed.String())
		}
	}
}

func TestWithoutAHandler(t *testing.T) {
	t.Parallel()
	if err := start(nil); err == nil || !strings.Contains(err.Error(), "handler is nil") {
		t.Errorf("got the error %v", err)
	}
}
