package gateway_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

// event is a server-sent event, as a browser takes it.
type event struct{ name, id, data string }

// words are the event's name and id, and what is in its data.
func (e event) words(t testing.TB) string {
	t.Helper()
	var frame struct {
		Execution   struct{ Status, Result string }
		OutputChunk string
		Attempt     uint32
		NewAttempt  bool
		Error       struct{ Message string }
	}
	if err := json.Unmarshal([]byte(e.data), &frame); err != nil {
		t.Fatalf("data %q: %v", e.data, err)
	}
	return strings.Join(strings.Fields(strings.Join([]string{
		e.name, e.id, strings.TrimPrefix(frame.Execution.Status, "EXECUTION_STATUS_"), frame.Execution.Result, frame.OutputChunk, frame.Error.Message,
	}, " ")), " ")
}

// events reads an event stream.
type events struct {
	t     testing.TB
	lines *bufio.Scanner
}

func (s *setup) events(t testing.TB, id, query string, change ...func(*http.Request)) events {
	t.Helper()
	response := s.do(t, "GET", "/v1/ignite/executions/"+id+"/watch"+query, "", append(change, with("Accept", "text/event-stream"))...)
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the answer is %d with %v", response.StatusCode, response.Header)
	}
	return events{t, bufio.NewScanner(response.Body)}
}

func (e events) next() (event, bool) {
	var next event
	for e.lines.Scan() {
		name, value, _ := strings.Cut(e.lines.Text(), ": ")
		switch name {
		case "event":
			next.name = value
		case "id":
			next.id = value
		case "data":
			next.data = value
		case "":
			if next != (event{}) {
				return next, true
			}
		}
	}
	return event{}, false
}

func (e events) want(words ...string) {
	e.t.Helper()
	for _, want := range words {
		next, ok := e.next()
		if !ok {
			e.t.Fatalf("no more events, want %q", want)
		}
		if got := next.words(e.t); got != want {
			e.t.Fatalf("event is %q, want %q", got, want)
		}
	}
}

func TestWatchAsServerSentEvents(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := s.another(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	id := worker.record.ID
	live := s.events(t, id, "")
	live.want("execution PENDING")
	worker.run()
	live.want("execution RUNNING")
	worker.write("a")
	worker.write("b")
	live.want("chunk 1.0 YQ==", "chunk 1.1 Yg==")
	worker.retry("POD_BROKEN")
	live.want("execution PENDING")
	worker.run()
	live.want("attempt", "execution RUNNING")
	worker.write("c")
	live.want("chunk 2.0 Yw==")
	resumed := other.events(t, id, "?fromChunk=0", with("Last-Event-ID", "1.0"))
	resumed.want("execution RUNNING", "chunk 1.1 Yg==", "attempt", "chunk 2.0 Yw==")
	worker.complete("c")
	for _, e := range []events{live, resumed} {
		e.want("execution COMPLETED Yw==", "end end")
		if last, more := e.next(); more {
			t.Errorf("after the end comes %v", last)
		}
	}
	s.events(t, id, "", with("Last-Event-ID", "2.0")).want("execution COMPLETED Yw==", "end end")
	s.events(t, id, "?fromAttempt=2&fromChunk=0").want("chunk 2.0 Yw==", "execution COMPLETED Yw==", "end end")
	s.events(t, id, "?from_attempt=1&from_chunk=1").want("chunk 1.1 Yg==", "attempt", "chunk 2.0 Yw==", "execution COMPLETED Yw==", "end end")

	// A browser comes back after the end, too, until it is told not to.
	again := s.do(t, "GET", "/v1/ignite/executions/"+id+"/watch", "", with("Accept", "text/event-stream"), with("Last-Event-ID", "end"))
	if body := readAll(t, again); again.StatusCode != 204 || body != "" {
		t.Errorf("after the end the answer is %d %q", again.StatusCode, body)
	}
}

func TestWatchesThatCannotBegin(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	path := "/v1/ignite/executions/" + s.submitted(t).record.ID + "/watch"
	for _, id := range []string{"x", "1", "0.1", "1.-1", "1.0x"} {
		wantProblem(t, s.do(t, "GET", path, "", with("Accept", "text/event-stream"), with("Last-Event-ID", id)), 400, codes.InvalidArgument, "Last-Event-Id")
	}
	for _, query := range []string{"?fromChunk=x", "?fromChunk=-1", "?fromAttempt=-1", "?fromChunk=1&fromChunk=2"} {
		wantProblem(t, s.do(t, "GET", path+query, ""), 400, codes.InvalidArgument)
	}
	wantProblem(t, s.do(t, "GET", "/v1/ignite/executions/x/watch", "", with("Accept", "text/event-stream")), 404, codes.NotFound)
	wantProblem(t, s.do(t, "GET", path, "", with("Accept", "text/event-stream"), with("Last-Event-ID", "end"), with("Authorization", "Bearer x")), 401, codes.Unauthenticated)
}

func TestWatchOverHTTPBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	worker.run()
	worker.write("a")
	worker.write("b")
	worker.complete("ab")
	response := s.do(t, "GET", "/v1/ignite/executions/"+worker.record.ID+"/watch?fromChunk=1", "", with("Last-Event-ID", "1.1"))
	body := strings.ReplaceAll(readAll(t, response), " ", "") // protojson varies its space
	first, rest, _ := strings.Cut(body, "\n")
	if first != `{"outputChunk":"Yg==","chunkIndex":"1","attempt":1}` || strings.Count(rest, "\n") != 1 {
		t.Errorf("the lines are %q", body)
	}
}

func TestEventsEndWithTheServer(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	watch := s.events(t, s.submitted(t).record.ID, "")
	watch.want("execution PENDING")
	s.stop()
	watch.want("error the server is stopping: try again")
	<-s.stopped
}
