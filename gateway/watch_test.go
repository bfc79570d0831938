package gateway_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// worker plays an engine's worker that has one execution.
type worker struct {
	*setup
	t      testing.TB
	record store.Execution
	chunks int64
}

func (s *setup) work(t testing.TB, id string) *worker {
	t.Helper()
	return &worker{setup: s, t: t, record: must(s.store.Execution(t.Context(), "acme", id))}
}

func (w *worker) update(change func(*store.Execution)) {
	w.t.Helper()
	change(&w.record)
	record, err := w.store.UpdateExecution(w.t.Context(), w.record)
	if err != nil {
		w.t.Fatal(err)
	}
	w.record = record
}

func (w *worker) run() {
	w.update(func(e *store.Execution) { e.Status, e.Attempt, e.StartedAt = store.Running, e.Attempt+1, time.Now() })
	w.chunks = 0
}

func (w *worker) write(data string) {
	w.t.Helper()
	chunk := stream.Chunk{Execution: w.record.ID, Attempt: w.record.Attempt, Index: w.chunks, Data: []byte(data)}
	if err := w.stream.PublishChunk(w.t.Context(), chunk); err != nil {
		w.t.Fatal(err)
	}
	w.chunks++
}

// retry waits for the next attempt.
func (w *worker) retry(code string) {
	w.update(func(e *store.Execution) {
		e.Status, e.Worker, e.AppFailures, e.DueAt = store.Pending, "", e.AppFailures+1, time.Now().Add(time.Minute)
		e.Error = &store.ExecutionError{Code: code, Message: code}
	})
}

func (w *worker) complete(result string) {
	w.update(func(e *store.Execution) {
		e.Status, e.FinishedAt, e.Result, e.ResultSize, e.ResponseStatus = store.Completed, time.Now(), []byte(result), int64(len(result)), 200
		e.Streamed, e.Chunks = w.chunks > 0, w.chunks
		e.Ran = 142 * time.Millisecond
	})
}

// watched is a gRPC watch of one execution, frame by frame in words.
type watched struct {
	t      testing.TB
	stream grpc.ServerStreamingClient[ignitev1.WatchExecutionResponse]
}

func (s *setup) watch(t testing.TB, id string) watched {
	t.Helper()
	return s.watchFrom(t, &ignitev1.WatchExecutionRequest{ExecutionId: id})
}

func (s *setup) watchFrom(t testing.TB, r *ignitev1.WatchExecutionRequest) watched {
	t.Helper()
	return watched{t, must(s.client.WatchExecution(s.as(t, "acme"), r))}
}

func (w watched) next() string {
	w.t.Helper()
	frame, err := w.stream.Recv()
	if errors.Is(err, io.EOF) {
		return "end"
	}
	if err != nil {
		return err.Error()
	}
	return inWords(frame)
}

func inWords(frame *ignitev1.WatchExecutionResponse) string {
	if e := frame.GetExecution(); e != nil {
		status := strings.TrimPrefix(e.GetStatus().String(), "EXECUTION_STATUS_")
		return strings.TrimSpace(status + " " + string(e.GetResult()))
	}
	if frame.GetNewAttempt() {
		return fmt.Sprintf("attempt %d", frame.GetAttempt())
	}
	return fmt.Sprintf("%d.%d %s", frame.GetAttempt(), frame.GetChunkIndex(), frame.GetOutputChunk())
}

func (w watched) want(words ...string) {
	w.t.Helper()
	for _, want := range words {
		if got := w.next(); got != want {
			w.t.Fatalf("frame is %q, want %q", got, want)
		}
	}
}

func TestWatchFollowsAStreamingExecution(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	watch, worker := s.watch(t, id), s.work(t, id)
	watch.want("PENDING")
	worker.run()
	watch.want("RUNNING")
	for i := range 3 {
		worker.write(fmt.Sprintf("piece %d", i))
		watch.want(fmt.Sprintf("1.%d piece %d", i, i))
	}
	worker.complete("piece 0piece 1piece 2")
	watch.want("COMPLETED piece 0piece 1piece 2", "end")
}

func TestWatchersThatComeLate(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	request := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}

	streamed := s.work(t, s.submit(t, request))
	streamed.run()
	streamed.write("a")
	s.watch(t, streamed.record.ID).want("RUNNING", "1.0 a")
	streamed.write("b")
	streamed.complete("ab")
	s.watch(t, streamed.record.ID).want("1.0 a", "1.1 b", "COMPLETED ab", "end")

	whole := s.work(t, s.submit(t, request))
	whole.run()
	whole.complete("ab")
	s.watch(t, whole.record.ID).want("COMPLETED ab", "end")

	lost := s.work(t, s.submit(t, request))
	lost.run()
	lost.chunks = 2 // the record counts output that is no longer stored
	lost.complete("ab")
	s.watch(t, lost.record.ID).want("COMPLETED ab", "end")
}

func TestManyChunksArriveInOrderBeforeTheEnd(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	watch, worker := s.watch(t, id), s.work(t, id)
	watch.want("PENDING")
	worker.run()
	watch.want("RUNNING")
	const chunks = 500
	for range chunks {
		worker.write("x")
	}
	worker.complete(strings.Repeat("x", chunks))
	for i := range chunks {
		watch.want(fmt.Sprintf("1.%d x", i))
	}
	watch.want("COMPLETED "+strings.Repeat("x", chunks), "end")
}

func TestExecutionHasTheDocumentedForm(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.work(t, s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}))
	worker.run()
	worker.complete(`{"ok": true}`)
	body := readAll(t, s.do(t, "GET", "/v1/ignite/executions/"+worker.record.ID, ""))
	var got struct{ Execution map[string]any }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"id": worker.record.ID, "appId": "acme/hello", "status": "EXECUTION_STATUS_COMPLETED", "result": "eyJvayI6IHRydWV9",
		"functionVersion": 1.0, "appName": "hello", "attempt": 1.0,
	} {
		if !reflect.DeepEqual(got.Execution[field], want) {
			t.Errorf("%s is %v, want %v", field, got.Execution[field], want)
		}
	}
	metrics := got.Execution["metrics"].(map[string]any)
	if metrics["executionMs"] != "142" || metrics["resultSizeBytes"] != "12" || metrics["resourceTier"] != "Medium" {
		t.Errorf("metrics are %v", metrics)
	}
}

func TestWatchOverHTTPIsOneObjectALine(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.work(t, s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}))
	response := s.do(t, "GET", "/v1/ignite/executions/"+worker.record.ID+"/watch", "")
	if got := response.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("content type is %q", got)
	}
	lines := bufio.NewScanner(response.Body)
	next := func() map[string]any {
		if !lines.Scan() {
			t.Fatalf("no more lines: %v", lines.Err())
		}
		var frame map[string]any
		if err := json.Unmarshal(lines.Bytes(), &frame); err != nil {
			t.Fatalf("line %q: %v", lines.Text(), err)
		}
		return frame
	}
	status := func() any { return next()["execution"].(map[string]any)["status"] }
	if got := status(); got != "EXECUTION_STATUS_PENDING" {
		t.Errorf("first line says %v", got)
	}
	worker.run()
	if got := status(); got != "EXECUTION_STATUS_RUNNING" {
		t.Errorf("second line says %v", got)
	}
	worker.write("a")
	worker.write("b")
	next()
	if got := next(); got["outputChunk"] != "Yg==" || got["chunkIndex"] != "1" || got["execution"] != nil {
		t.Errorf("chunk is %v", got)
	}
	worker.complete("ab")
	if last := next()["execution"].(map[string]any); last["result"] != "YWI=" {
		t.Errorf("last line is %v", last)
	}
	if lines.Scan() {
		t.Errorf("line %q follows the terminal one", lines.Text())
	}
}

func TestWatchEndsWhenTheServerStops(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	watch := s.watch(t, id)
	watch.want("PENDING")
	lines := bufio.NewScanner(s.do(t, "GET", "/v1/ignite/executions/"+id+"/watch", "").Body)
	lines.Scan()
	s.stop()
	_, err := watch.stream.Recv()
	wantCode(t, err, codes.Unavailable, "stopping")
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"error":{"code":14,`) && !strings.HasPrefix(lines.Text(), `{"error":{"code":14`) {
		t.Errorf("last line is %q", lines.Text())
	}
	<-s.stopped
}

// The record cannot be read for a while, and something happens meanwhile: the watch goes on.
func TestWatchOutlivesAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	watch, worker := s.watch(t, id), s.work(t, id)
	watch.want("PENDING")
	worker.run()
	watch.want("RUNNING")
	s.answerReads(t, false)
	if err := s.nats.Publish("ignite.watch."+id+".state", nil); err != nil {
		t.Fatal(err)
	}
	worker.write("a")
	watch.want("1.0 a")
	s.answerReads(t, true)
	worker.complete("a")
	watch.want("COMPLETED a", "end")
}

// answerReads lets the bucket of executions answer reads, or not.
func (s *setup) answerReads(t *testing.T, answer bool) {
	t.Helper()
	js := must(jetstream.New(s.nats))
	config := must(js.Stream(t.Context(), "KV_ignite_executions")).CachedInfo().Config
	config.AllowDirect = answer
	must(js.UpdateStream(t.Context(), config))
}

func TestWatcherWhoLeavesIsLetGo(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	response := s.do(t, "GET", "/v1/ignite/executions/"+id+"/watch", "")
	_ = response.Body.Close()
	watch := s.watch(t, id)
	watch.want("PENDING")
	if err := s.conn.Close(); err != nil {
		t.Fatal(err)
	}
	s.stop()
	<-s.stopped // without them it need not wait for the drain time
}
