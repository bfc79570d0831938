package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/gateway"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

func (s *setup) cancel(t testing.TB, id, reason string) *ignitev1.Execution {
	t.Helper()
	answer, err := s.client.CancelExecution(s.as(t, "acme"), &ignitev1.CancelExecutionRequest{ExecutionId: id, Reason: reason})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetExecution()
}

func wantCancelled(t testing.TB, e *ignitev1.Execution, words string) {
	t.Helper()
	if e.GetStatus() != cancelled || e.GetError().GetCode() != "CANCELLED" || !strings.Contains(e.GetError().GetMessage(), words) ||
		e.GetFinishedAtMs() == 0 || e.GetExpiresAtMs() == 0 || e.GetDueAtMs() != 0 {
		t.Errorf("record is %v, want it cancelled: %s", e, words)
	}
}

// waits reports whether work of an execution of acme/hello is in the queue or comes later.
func (s *setup) waits(t testing.TB, id string) bool {
	t.Helper()
	queued := must(s.stream.Waits(t.Context(), stream.App{Org: "acme", Name: "hello"}, id))
	return queued || must(s.stream.IsLater(t.Context(), id))
}

func TestWhatWaitsIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	var reached []gateway.Boundary
	var mu sync.Mutex
	s := start(t, func(c *gateway.Config) {
		c.Reached = func(b gateway.Boundary) {
			mu.Lock()
			defer mu.Unlock()
			reached = append(reached, b)
		}
	})
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: make([]byte, store.MaxInline+1)})
	wantCancelled(t, s.cancel(t, id, "no more of this"), "no more of this")
	wantCancelled(t, s.get(t, &ignitev1.GetExecutionRequest{ExecutionId: id}).GetExecution(), "no more of this")
	if s.waits(t, id) {
		t.Error("its work still waits")
	}
	if _, err := s.store.Payload(t.Context(), "request."+id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its body is left: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := reached[len(reached)-1]; got != gateway.RecordCancelled {
		t.Errorf("the last boundary is %s", got)
	}
}

func TestWhatWaitsForItsTimeIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Delay: wait(time.Hour)})
	if !s.waits(t, id) {
		t.Fatal("its work does not wait")
	}
	wantCancelled(t, s.cancel(t, id, ""), "while it waited")
	if s.waits(t, id) {
		t.Error("its work still waits")
	}
}

// What runs ends in its record at once, and its worker is told.
func TestTheWorkerIsToldOfACancellation(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	worker.update(func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 1, "worker-7" })
	told := make(chan string, 2)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err := s.stream.Answer(ctx, stream.CancelTopic("worker-7"), func(id []byte) []byte {
		told <- string(id)
		return []byte("cut")
	})
	if err != nil {
		t.Fatal(err)
	}
	watch := s.watch(t, worker.record.ID)
	watch.want("RUNNING")
	wantCancelled(t, s.cancel(t, worker.record.ID, ""), "while it ran")
	if id := <-told; id != worker.record.ID {
		t.Errorf("the worker is told of %q", id)
	}
	watch.want("CANCELLED", "end")
	next := worker.record
	next.Status = store.Completed
	if _, err := s.store.UpdateExecution(t.Context(), next); !errors.Is(err, store.ErrConflict) {
		t.Errorf("its worker may still write: %v", err)
	}
	// Repeated, it is told again, for the first word may be lost.
	wantCancelled(t, s.cancel(t, worker.record.ID, "another reason"), "while it ran")
	<-told
}

// What was put out before the cancellation is counted, by who cancels.
func TestTheOutputOfWhatIsCancelledIsCounted(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	worker.update(func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 2, "dead" })
	for index := range int64(3) {
		if err := s.stream.PublishChunk(t.Context(), stream.Chunk{Execution: worker.record.ID, Attempt: 2, Index: index, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if chunks := s.cancel(t, worker.record.ID, "").GetOutputChunks(); chunks != 3 {
		t.Errorf("%d chunks are counted of 3", chunks)
	}
}

// A worker that is dead does not keep the caller.
func TestCancellationNeedsNoWorker(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	worker.update(func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 1, "dead" })
	wantCancelled(t, s.cancel(t, worker.record.ID, ""), "while it ran")
}

func TestWhatHasEndedCannotBeCancelled(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	done, broken := s.submitted(t), s.submitted(t)
	done.run()
	done.complete("x")
	broken.run()
	broken.update(func(e *store.Execution) {
		e.Status, e.FinishedAt, e.Error = store.Failed, time.Now(), &store.ExecutionError{Code: "POD_BROKEN", Message: "the pod broke"}
	})
	for id, words := range map[string][]string{
		done.record.ID:   {"has ended already", "EXECUTION_STATUS_COMPLETED"},
		broken.record.ID: {"has ended already", "EXECUTION_STATUS_FAILED, POD_BROKEN"},
	} {
		_, err := s.client.CancelExecution(s.as(t, "acme"), &ignitev1.CancelExecutionRequest{ExecutionId: id})
		wantCode(t, err, codes.FailedPrecondition, words...)
		wantProblem(t, s.do(t, "POST", "/v1/ignite/executions/"+id+"/cancel", "{}"), 400, codes.FailedPrecondition, words...)
	}
}

func TestCancelOverHTTPAndByWhom(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submitted(t).record.ID
	for org, scope := range map[string]string{"other": "InvokeApp", "acme": "GetExecution"} {
		want := map[string]codes.Code{"other": codes.NotFound, "acme": codes.PermissionDenied}[org]
		_, err := s.client.CancelExecution(s.as(t, org, scope), &ignitev1.CancelExecutionRequest{ExecutionId: id})
		wantCode(t, err, want)
	}
	_, err := s.client.CancelExecution(s.as(t, "acme"), &ignitev1.CancelExecutionRequest{ExecutionId: id, Reason: strings.Repeat("x", 1025)})
	wantCode(t, err, codes.InvalidArgument, "reason")
	response := s.do(t, "POST", "/v1/ignite/executions/"+id+"/cancel", `{"reason": "enough"}`)
	if body := readAll(t, response); response.StatusCode != 200 || !strings.Contains(body, "EXECUTION_STATUS_CANCELLED") || !strings.Contains(body, "enough") {
		t.Errorf("the answer is %d %s", response.StatusCode, body)
	}
}

// Of a cancellation and an end that come together one decides, and both sides read the same.
func TestCancellationAndEndExcludeEachOther(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	for range 50 {
		worker := s.submitted(t)
		worker.run()
		done := worker.record
		done.Status, done.FinishedAt = store.Completed, time.Now()
		var cancelling sync.WaitGroup
		var cancelErr error
		cancelling.Go(func() {
			_, cancelErr = s.client.CancelExecution(s.as(t, "acme"), &ignitev1.CancelExecutionRequest{ExecutionId: done.ID})
		})
		_, endErr := s.store.UpdateExecution(t.Context(), done)
		cancelling.Wait()
		status := s.get(t, &ignitev1.GetExecutionRequest{ExecutionId: done.ID}).GetExecution().GetStatus()
		switch {
		case cancelErr == nil && errors.Is(endErr, store.ErrConflict) && status == cancelled:
		case endErr == nil && status == completed:
			wantCode(t, cancelErr, codes.FailedPrecondition, "COMPLETED")
		default:
			t.Errorf("the cancellation is %v, the end %v, and the record %v", cancelErr, endErr, status)
		}
	}
}
