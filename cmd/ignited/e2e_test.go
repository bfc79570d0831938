package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The main job by a client that knows only what reflection tells: deploy both examples, invoke one and see the answer stream
// back, submit to the other, poll it, watch its output chunk by chunk, read the result.
func TestMainJobByReflection(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	client := dialByReflection(t, s.grpc, s.token)
	client.deploy(t, "hello", pythonCode(example(t, "hello")))
	client.deploy(t, "stream", procfileCode(example(t, "stream")))

	t.Run("invoke", func(t *testing.T) { invokeHello(t, client) })
	t.Run("submit, poll and watch", func(t *testing.T) { submitAndWatch(t, client) })
}

func (c *reflectionClient) deploy(t *testing.T, name, code string) {
	t.Helper()
	app := fmt.Sprintf(`{"organizationName":"acme-corp","appName":%q}`, name)
	for _, step := range []struct{ method, request string }{
		{"CreateApp", fmt.Sprintf(`{"organizationName":"acme-corp","name":%q}`, name)},
		{"SaveDraft", fmt.Sprintf(`{"organizationName":"acme-corp","appName":%q,"code":%s}`, name, code)},
		{"CompileDraft", app},
		{"PublishDraft", app},
	} {
		if _, err := c.call(t.Context(), step.method, step.request); err != nil {
			t.Fatalf("%s %s: %v", step.method, name, err)
		}
	}
}

func invokeHello(t *testing.T, client *reflectionClient) {
	body := base64.StdEncoding.EncodeToString([]byte(`{"name":"Ada"}`))
	request := fmt.Sprintf(`{"organizationName":"acme-corp","appName":"hello","body":%q}`, body)
	var order []string
	var answer bytes.Buffer
	err := client.stream(t.Context(), "Invoke", request, func(frame *dynamicpb.Message) error {
		switch {
		case has(frame, "head"):
			order = append(order, "head")
			if code := field(frame, "head", "status_code").Uint(); code != 200 {
				t.Errorf("status %d", code)
			}
			if id := field(frame, "head", "execution_id").String(); !strings.HasPrefix(id, "exec_") {
				t.Errorf("execution id %q", id)
			}
		case has(frame, "chunk"):
			order = append(order, "chunk")
			answer.Write(field(frame, "chunk", "data").Bytes())
		case has(frame, "trailer"):
			order = append(order, "trailer")
			if n := field(frame, "trailer", "total_body_bytes").Int(); n != int64(answer.Len()) {
				t.Errorf("trailer counts %d bytes of %d", n, answer.Len())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "head chunk trailer" {
		t.Errorf("frames: %s", got)
	}
	if !json.Valid(answer.Bytes()) || !bytes.Contains(answer.Bytes(), []byte("Ada")) {
		t.Errorf("answer %s", answer.Bytes())
	}
}

func submitAndWatch(t *testing.T, client *reflectionClient) {
	submitted, err := client.call(t.Context(), "InvokeAsync", `{"organizationName":"acme-corp","appName":"stream"}`)
	if err != nil {
		t.Fatal(err)
	}
	id := field(submitted, "execution_id").String()
	get := fmt.Sprintf(`{"executionId":%q}`, id)
	polled, err := client.call(t.Context(), "GetExecution", get)
	if err != nil {
		t.Fatalf("an id that was handed out must be found: %v", err)
	}
	if got := field(polled, "execution", "id").String(); got != id {
		t.Errorf("polled %q, want %q", got, id)
	}

	var frames []string
	var output bytes.Buffer
	var first, last time.Time
	var result []byte
	err = client.stream(t.Context(), "WatchExecution", get, func(frame *dynamicpb.Message) error {
		if !has(frame, "execution") {
			if first.IsZero() {
				first = time.Now()
			}
			last = time.Now()
			frames = append(frames, "chunk")
			output.Write(field(frame, "output_chunk").Bytes())
			return nil
		}
		frames = append(frames, enumName(frame, "execution", "status"))
		result = field(frame, "execution", "result").Bytes()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if frames[0] == "chunk" || frames[len(frames)-1] != "EXECUTION_STATUS_COMPLETED" {
		t.Errorf("frames: %v", frames)
	}
	if !bytes.Equal(output.Bytes(), result) || len(result) == 0 {
		t.Errorf("chunks say %q, the result %q", output.Bytes(), result)
	}
	// Ten chunks 200 ms apart: had they been kept back, they would have come together.
	if spread := last.Sub(first); spread < time.Second {
		t.Errorf("all chunks within %v: not live", spread)
	}
}

func TestMainJobOverHTTP(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	s.deploy(t, "probe", procfileCode(probeArchive(t)), "")

	t.Run("invoke promotes status and headers and ends with trailers", func(t *testing.T) {
		answer := s.invoke(t, "probe", `{"http":{"method":"HTTP_METHOD_GET","path":"/headers"}}`)
		body, err := io.ReadAll(answer.Body)
		if err != nil || string(body) != "short and stout" {
			t.Errorf("body %q, %v", body, err)
		}
		if answer.StatusCode != http.StatusTeapot {
			t.Errorf("status %s", answer.Status)
		}
		if got := answer.Header.Values("X-Twice"); len(got) != 2 || got[0] != "one" || got[1] != "two" {
			t.Errorf("X-Twice: %q", got)
		}
		if id := answer.Header.Get("X-Ignite-Execution-Id"); !strings.HasPrefix(id, "exec_") {
			t.Errorf("X-Ignite-Execution-Id: %q", id)
		}
		if n := answer.Trailer.Get("total_body_bytes"); n != "15" {
			t.Errorf("trailers %v", answer.Trailer)
		}
		if answer.Trailer.Get("duration_ms") == "" {
			t.Errorf("trailers %v", answer.Trailer)
		}
	})
	t.Run("a flushed byte arrives while the pod goes on", func(t *testing.T) { flushedBytesArrive(t, s) })
	t.Run("a pod that breaks off aborts the connection", func(t *testing.T) {
		answer := s.invoke(t, "probe", `{"http":{"path":"/break"}}`)
		body, err := io.ReadAll(answer.Body)
		if err == nil || string(body) != "half of it" {
			t.Errorf("read %q and %v; want the half and an error", body, err)
		}
		if n := answer.Trailer.Get("total_body_bytes"); n != "" {
			t.Errorf("trailer %q after a failure", n)
		}
	})
	t.Run("leaving an invoke disconnects the pod", func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		request := s.request(t, http.MethodPost, "/v1/ignite/app/acme-corp/probe/invoke", strings.NewReader(`{"http":{"path":"/stream","query":"n=600&every=100ms"}}`))
		answer, err := http.DefaultClient.Do(request.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := answer.Body.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		leave()
		_ = answer.Body.Close()
		s.awaitHeld(t, "probe", 0)
	})
	t.Run("async over HTTP, one JSON object a line", func(t *testing.T) {
		id := s.submit(t, "probe", `{"http":{"path":"/stream","query":"n=3&every=20ms"}}`)
		execution := s.await(t, id)
		if execution["status"] != "EXECUTION_STATUS_COMPLETED" {
			t.Errorf("record %v", execution)
		}
		if got := string(result(t, execution)); got != "chunk 0\nchunk 1\nchunk 2\n" {
			t.Errorf("result %q", got)
		}
		if execution["appId"] != "acme-corp/probe" || execution["appName"] != "probe" || execution["functionVersion"] != float64(1) {
			t.Errorf("record %v", execution)
		}
		metrics, _ := execution["metrics"].(map[string]any)
		if metrics["resultSizeBytes"] != "24" || metrics["resourceTier"] != "Medium" {
			t.Errorf("metrics %v", metrics)
		}
	})
	t.Run("a pod's error is FAILED with its body", func(t *testing.T) {
		execution := s.await(t, s.submit(t, "probe", `{"http":{"path":"/status","query":"code=503"}}`))
		if execution["status"] != "EXECUTION_STATUS_FAILED" || string(result(t, execution)) != "status 503" {
			t.Errorf("record %v", execution)
		}
	})
}

func (s *server) invoke(t *testing.T, app, request string) *http.Response {
	t.Helper()
	answer, err := http.DefaultClient.Do(s.request(t, http.MethodPost, "/v1/ignite/app/acme-corp/"+app+"/invoke", strings.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// flushedBytesArrive reads chunks that the pod sends far apart. That each comes alone shows that none waited for the next; how
// soon is a benchmark's business.
func flushedBytesArrive(t *testing.T, s *server) {
	answer := s.invoke(t, "probe", `{"http":{"path":"/stream","query":"n=4&every=300ms"}}`)
	buffer := make([]byte, 1024)
	for i := range 4 {
		n, err := answer.Body.Read(buffer)
		if want := fmt.Sprintf("chunk %d\n", i); string(buffer[:n]) != want {
			t.Fatalf("read %q (%v), want %q alone", buffer[:n], err, want)
		}
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	if got := answer.Trailer.Get("X-Sum"); got != "4" {
		t.Errorf("the pod's own trailer: %q", got)
	}
}

// awaitHeld waits until so many calls are in the app's pods.
func (s *server) awaitHeld(t *testing.T, app string, want float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, state := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp/"+app+"/state", "")
		held, _ := state["inFlight"].(float64)
		if held == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%v calls in pods of %s, want %v", held, app, want)
		}
	}
}

func TestEnvelopeArrivesUnchanged(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	s.deploy(t, "probe", procfileCode(probeArchive(t)), "")
	const http1 = `{"http":{"method":"HTTP_METHOD_PUT","path":"/a%2Fb//c/../d","query":"x=1&x=2&y=%20;z",
		"headers":{"X-One":"1","X-Ignite-Organization-Id":"liar","x-ignite-attempt":"99"},
		"headerFields":[{"name":"X-Many","value":"a"},{"name":"X-Many","value":"b"}]},"body":"AAEC/w=="}`

	check := func(t *testing.T, raw []byte) {
		t.Helper()
		var saw struct {
			Method, URI string
			Headers     http.Header
			Body        []byte
		}
		if err := json.Unmarshal(raw, &saw); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		if saw.Method != http.MethodPut || saw.URI != "/a%2Fb//c/../d?x=1&x=2&y=%20;z" || !bytes.Equal(saw.Body, []byte{0, 1, 2, 255}) {
			t.Errorf("the pod saw %s %s with %v", saw.Method, saw.URI, saw.Body)
		}
		if got := saw.Headers.Values("X-Many"); len(got) != 2 || saw.Headers.Get("X-One") != "1" {
			t.Errorf("headers %v", saw.Headers)
		}
		for name, want := range map[string]string{
			"X-Ignite-Function-Id": "acme-corp/probe", "X-Ignite-Attempt": "1",
		} {
			if got := saw.Headers.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if got := saw.Headers.Values("X-Ignite-Organization-Id"); len(got) != 1 || got[0] == "liar" {
			t.Errorf("X-Ignite-Organization-Id: %q", got)
		}
		if got := saw.Headers.Get("X-Ignite-Execution-Id"); !strings.HasPrefix(got, "exec_") {
			t.Errorf("X-Ignite-Execution-Id: %q", got)
		}
		if got := saw.Headers.Get("Authorization"); got != "" {
			t.Error("the token reached the pod")
		}
	}
	t.Run("invoke", func(t *testing.T) {
		raw, err := io.ReadAll(s.invoke(t, "probe", http1).Body)
		if err != nil {
			t.Fatal(err)
		}
		check(t, raw)
	})
	t.Run("invoke-async", func(t *testing.T) {
		check(t, result(t, s.await(t, s.submit(t, "probe", http1))))
	})
	t.Run("direct", func(t *testing.T) {
		request := s.direct(t, http.MethodPut, "probe", "/a%2Fb//c/../d?x=1&x=2&y=%20;z", []byte{0, 1, 2, 255})
		request.Header["X-Many"] = []string{"a", "b"}
		request.Header.Set("X-One", "1")
		request.Header.Set("X-Ignite-Organization-Id", "liar")
		request.Header.Set("X-Ignite-Attempt", "99")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		raw, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		check(t, raw)
	})
	t.Run("no http part is POST /", func(t *testing.T) {
		raw := result(t, s.await(t, s.submit(t, "probe", `{"body":"AA=="}`)))
		if !bytes.Contains(raw, []byte(`"method":"POST"`)) || !bytes.Contains(raw, []byte(`"uri":"/"`)) {
			t.Errorf("the pod saw %s", raw)
		}
	})
}

// A gRPC caller of Invoke gets an error in place of the trailer, and keeps the chunks that came before.
func TestInvokeEndsWithAnErrorWhenThePodBreaks(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	s.deploy(t, "probe", procfileCode(probeArchive(t)), "")
	client := dialByReflection(t, s.grpc, s.token)
	for _, path := range []string{"/break", "/exit"} {
		var kept bytes.Buffer
		trailer := false
		request := fmt.Sprintf(`{"organizationName":"acme-corp","appName":"probe","http":{"path":%q}}`, path)
		err := client.stream(t.Context(), "Invoke", request, func(frame *dynamicpb.Message) error {
			if has(frame, "chunk") {
				kept.Write(field(frame, "chunk", "data").Bytes())
			}
			trailer = trailer || has(frame, "trailer")
			return nil
		})
		if code := status.Code(err); code != codes.Unavailable {
			t.Errorf("%s: %v, want Unavailable", path, err)
		}
		if trailer {
			t.Errorf("%s: a trailer after a failure", path)
		}
		if path == "/break" && kept.String() != "half of it" {
			t.Errorf("kept %q", kept.String())
		}
	}
}
