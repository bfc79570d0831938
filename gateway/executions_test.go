package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const (
	pending   = ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING
	running   = ignitev1.ExecutionStatus_EXECUTION_STATUS_RUNNING
	completed = ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED
	failed    = ignitev1.ExecutionStatus_EXECUTION_STATUS_FAILED
	cancelled = ignitev1.ExecutionStatus_EXECUTION_STATUS_CANCELLED
)

// submitted is an execution of acme/hello with a worker of its own, whose work the queue keeps.
func (s *setup) submitted(t testing.TB) *worker {
	t.Helper()
	return s.work(t, s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}))
}

func (s *setup) get(t testing.TB, r *ignitev1.GetExecutionRequest) *ignitev1.GetExecutionResponse {
	t.Helper()
	answer, err := s.client.GetExecution(s.as(t, "acme"), r)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// got is an answer of GetExecution that came later, or why there is none.
type got struct {
	*ignitev1.GetExecutionResponse
	err error
}

// waiting asks for an execution in the background, and returns when the gateway listens to its changes.
func (s *setup) waiting(t testing.TB, r *ignitev1.GetExecutionRequest) <-chan got {
	t.Helper()
	before := s.nats.NumSubscriptions()
	answers := make(chan got, 1)
	ctx := s.as(t, "acme")
	go func() {
		answer, err := s.client.GetExecution(ctx, r)
		answers <- got{answer, err}
	}()
	s.until(t, func() bool { return s.nats.NumSubscriptions() > before })
	return answers
}

// until waits for something that nobody tells.
func (s *setup) until(t testing.TB, over func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !over() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal("it does not happen")
		}
	}
}

func wait(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

func TestGetWaitsForTheNextChange(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	id := worker.record.ID
	first := s.get(t, &ignitev1.GetExecutionRequest{ExecutionId: id})
	if first.GetEtag() == "" || first.GetExecution().GetStatus() != pending {
		t.Fatalf("first answer is %v", first)
	}

	whatever := s.waiting(t, &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: wait(time.Hour)})
	worker.run()
	answer := <-whatever
	if answer.err != nil || answer.GetExecution().GetStatus() != running || answer.GetEtag() == first.GetEtag() {
		t.Fatalf("the change is %v, %v", answer.GetExecutionResponse, answer.err)
	}

	missed := s.get(t, &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: wait(time.Hour), Etag: first.GetEtag()})
	if missed.GetEtag() != answer.GetEtag() {
		t.Errorf("who missed a change gets %v", missed)
	}

	end := s.waiting(t, &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: wait(time.Hour), Etag: answer.GetEtag()})
	worker.complete("done")
	if answer = <-end; answer.err != nil || answer.GetExecution().GetStatus() != completed || string(answer.GetExecution().GetResult()) != "done" {
		t.Errorf("the end is %v, %v", answer.GetExecutionResponse, answer.err)
	}
	if again := s.get(t, &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: wait(time.Hour), Etag: answer.GetEtag()}); again.GetEtag() != answer.GetEtag() {
		t.Errorf("what has ended is %v", again)
	}
}

func TestGetWaitsNoLongerThanItIsTold(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submitted(t).record.ID
	first := s.get(t, &ignitev1.GetExecutionRequest{ExecutionId: id})
	again := s.get(t, &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: wait(20 * time.Millisecond), Etag: `"` + first.GetEtag() + `"`})
	if again.GetEtag() != first.GetEtag() {
		t.Errorf("what did not change is %v", again)
	}
	_, err := s.client.GetExecution(s.as(t, "acme"), &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: wait(-1)})
	wantCode(t, err, codes.InvalidArgument, "wait")
	_, err = s.client.GetExecution(s.as(t, "acme"), &ignitev1.GetExecutionRequest{ExecutionId: store.NewExecutionID(), Wait: wait(time.Hour)})
	wantCode(t, err, codes.NotFound)
	_, err = s.client.GetExecution(s.as(t, "other"), &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: wait(time.Hour)})
	wantCode(t, err, codes.NotFound)

	ctx, leave := context.WithCancel(s.as(t, "acme"))
	left := make(chan error, 1)
	before := s.nats.NumSubscriptions()
	go func() {
		_, err := s.client.GetExecution(ctx, &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: wait(time.Hour)})
		left <- err
	}()
	s.until(t, func() bool { return s.nats.NumSubscriptions() > before })
	leave()
	wantCode(t, <-left, codes.Canceled)
	s.until(t, func() bool { return s.nats.NumSubscriptions() == before })
}

// A server that stops answers whoever waits; they ask again elsewhere.
func TestGetThatWaitsIsAnsweredWhenTheServerStops(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	waits := s.waiting(t, &ignitev1.GetExecutionRequest{ExecutionId: s.submitted(t).record.ID, Wait: wait(time.Hour)})
	s.stop()
	if answer := <-waits; answer.err != nil || answer.GetExecution().GetStatus() != pending {
		t.Errorf("the answer is %v, %v", answer.GetExecutionResponse, answer.err)
	}
	<-s.stopped
}

func ifNoneMatch(tags string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("If-None-Match", tags) }
}

func TestGetOverHTTPIsConditional(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	path := "/v1/ignite/executions/" + worker.record.ID
	first := s.do(t, "GET", path, "")
	var answer struct {
		Execution map[string]any
		Etag      string
	}
	if err := json.Unmarshal([]byte(readAll(t, first)), &answer); err != nil {
		t.Fatal(err)
	}
	etag := first.Header.Get("Etag")
	if etag != `"`+answer.Etag+`"` || answer.Execution["status"] != "EXECUTION_STATUS_PENDING" || first.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("the answer is %v with %v", answer, first.Header)
	}
	for tags, want := range map[string]int{
		etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200, "": 200,
	} {
		response := s.do(t, "GET", path, "", ifNoneMatch(tags))
		if body := readAll(t, response); response.StatusCode != want || (want == 304) != (body == "") || response.Header.Get("Etag") != etag {
			t.Errorf("If-None-Match %s is answered %d %q", tags, response.StatusCode, body)
		}
	}
	if response := s.do(t, "GET", path+"?wait=0.02s", "", ifNoneMatch(etag)); response.StatusCode != 304 {
		t.Errorf("what did not change is answered %d", response.StatusCode)
	}
	worker.run()
	for _, query := range []string{"?wait=30s", "?wait=30", "?wait=1m", "?wait=500ms", ""} {
		if response := s.do(t, "GET", path+query, "", ifNoneMatch(etag)); response.StatusCode != 200 || response.Header.Get("Etag") == etag {
			t.Errorf("what changed is answered %d with %s", response.StatusCode, response.Header.Get("Etag"))
		}
	}
	if response := s.do(t, "GET", path+"?wait=30s&etag="+answer.Etag, ""); response.StatusCode != 200 || response.Header.Get("Etag") == etag {
		t.Errorf("what changed is answered %d with %s", response.StatusCode, response.Header.Get("Etag"))
	}
	for _, query := range []string{"?wait=soon", "?wait=-1", "?wait=-1s", "?wait=inf", "?wait=1&wait=2"} {
		wantProblem(t, s.do(t, "GET", path+query, ""), 400, codes.InvalidArgument)
	}
	wantProblem(t, s.do(t, "POST", path, ""), 405, codes.Unimplemented)
}

// Over HTTP it is the end that is waited for, too.
func TestGetOverHTTPWaits(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	path := "/v1/ignite/executions/" + worker.record.ID
	etag := s.do(t, "GET", path, "").Header.Get("Etag")
	before := s.nats.NumSubscriptions()
	answers := make(chan reply, 1)
	go func() {
		defer close(answers) // do ends this goroutine if there is no answer
		answers <- s.do(t, "GET", path+"?wait=60", "", ifNoneMatch(etag))
	}()
	s.until(t, func() bool { return s.nats.NumSubscriptions() > before })
	worker.run()
	if response, ok := <-answers; !ok || response.StatusCode != 200 || response.Header.Get("Etag") == etag {
		t.Errorf("the change is %v", response)
	}
}
