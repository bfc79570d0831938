package pod_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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
		_, _ = w.Write(content)
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
