package gateway_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/gateway"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// endNext takes the next work of an app as a worker does and ends it; what ended badly is kept.
func (s *setup) endNext(t testing.TB, ref store.AppRef, status store.Status) store.Execution {
	t.Helper()
	job := s.hold(t, ref)
	record := s.record(t, job.Execution)
	record.Status, record.Attempt, record.Worker = store.Running, record.Attempt+1, "worker-1"
	record = must(s.store.UpdateExecution(t.Context(), record))
	record.Status, record.FinishedAt = status, time.Now()
	record = must(s.store.UpdateExecution(t.Context(), record))
	if status == store.Failed || status == store.Timeout {
		s.keep(t, record, job.Work)
	}
	if err := job.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	return record
}

// hold answers the next job of an app.
func (s *setup) hold(t testing.TB, ref store.AppRef) *stream.Job {
	t.Helper()
	queue := must(s.stream.Queue(t.Context(), streamApp(ref)))
	t.Cleanup(func() { _ = queue.Close() })
	for job, err := range queue.Take(t.Context(), 1, 10*time.Second) {
		if err != nil {
			t.Fatal(err)
		}
		return job
	}
	t.Fatal("no work waits")
	return nil
}

func (s *setup) keep(t testing.TB, record store.Execution, work stream.Work) {
	t.Helper()
	if err := s.stream.KeepDeadLetter(t.Context(), work, record.ExpiresAt); err != nil {
		t.Fatal(err)
	}
	if record.RequestObject == "" {
		return
	}
	body := must(s.store.Payload(t.Context(), record.RequestObject))
	if err := s.store.KeepPayload(t.Context(), record.RequestObject, body, record.ExpiresAt); err != nil {
		t.Fatal(err)
	}
}

// failed submits r to acme/hello and lets it fail.
func (s *setup) failed(t testing.TB, r *ignitev1.InvokeRequest) store.Execution {
	t.Helper()
	r.OrganizationName, r.AppName = "acme", "hello"
	s.submit(t, r)
	return s.endNext(t, store.AppRef{Org: "acme", Name: "hello"}, store.Failed)
}

func (s *setup) redrive(t testing.TB, org, id string) (string, error) {
	t.Helper()
	answer, err := s.client.RedriveExecution(s.as(t, org), &ignitev1.RedriveExecutionRequest{ExecutionId: id})
	return answer.GetExecutionId(), err
}

// letters counts the dead letters that are kept.
func (s *setup) letters(t testing.TB, ids ...string) int {
	t.Helper()
	return len(must(s.stream.DeadLetters(t.Context(), ids)))
}

func TestRedriveIsTheSameRequestAsANewExecution(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, store.MaxInline + 1} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			t.Parallel()
			s := start(t)
			ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
			body := bytes.Repeat([]byte{'x'}, size)
			old := s.failed(t, &ignitev1.InvokeRequest{
				Body: body, Retry: &ignitev1.RetryPolicy{MaxAttempts: 7},
				Http: &ignitev1.HttpContext{Path: "/p", Headers: map[string]string{"x-mine": "1"}},
			})
			s.publishAgain(t)
			id, err := s.redrive(t, "acme", old.ID)
			if err != nil || id == old.ID {
				t.Fatalf("redrive answers %s, %v", id, err)
			}
			record := s.record(t, id)
			if record.Status != store.Pending || record.RedrivenFrom != old.ID || record.Version != 2 || record.Retry.MaxAttempts != 3 || record.Attempt != 0 {
				t.Errorf("the new record is %+v", record)
			}
			if again := s.record(t, old.ID); again.Status != store.Failed || again.Revision != old.Revision {
				t.Errorf("the old record is %+v", again)
			}
			if s.letters(t, old.ID) != 0 {
				t.Error("the dead letter is still there")
			}
			work := s.take(t, ref)
			head := must(pod.DecodeHead(work.Request))
			if head.Object != "" {
				work.Body = must(s.store.Payload(t.Context(), head.Object))
			}
			if work.Execution != id || !bytes.Equal(work.Body, body) || head.Envelope.Path != "/p" || head.Envelope.Header.Get("X-Mine") != "1" ||
				head.Identity != (pod.Identity{ExecutionID: id, FunctionID: "acme/hello", OrganizationID: "acme-id"}) {
				t.Errorf("the new work is %s, %+v, %d bytes", work.Execution, head, len(work.Body))
			}
			if again, err := s.redrive(t, "acme", old.ID); again != id || err != nil {
				t.Errorf("repeated it answers %s, %v, before %s", again, err, id)
			}
		})
	}
}

// publishAgain gives acme/hello a second version and another policy.
func (s *setup) publishAgain(t testing.TB) {
	t.Helper()
	ctx := s.as(t, "acme")
	must(s.client.SaveDraft(ctx, &ignitev1.SaveDraftRequest{OrganizationName: "acme", AppName: "hello", Code: python("second")}))
	must(s.client.PublishDraft(ctx, &ignitev1.PublishDraftRequest{OrganizationName: "acme", AppName: "hello"}))
	must(s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "hello", Retry: &ignitev1.RetryPolicy{MaxAttempts: 3}}))
}

func TestRedriveOverHTTP(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	old := s.failed(t, &ignitev1.InvokeRequest{})
	if response := s.do(t, "POST", "/v1/ignite/executions/"+old.ID+"/redrive", "{}"); response.StatusCode != 200 {
		t.Errorf("answer is %d: %s", response.StatusCode, readAll(t, response))
	}
	if work := s.take(t, ref); work.Execution == old.ID {
		t.Error("it is the same execution")
	}
	wantProblem(t, s.do(t, "POST", "/v1/ignite/executions/x/redrive", "{}"), 404, codes.NotFound, "no execution")
}

func TestWhatCannotBeRedriven(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	old := s.failed(t, &ignitev1.InvokeRequest{})
	for org, id := range map[string]string{"other": old.ID, "acme": store.NewExecutionID()} {
		_, err := s.redrive(t, org, id)
		wantCode(t, err, codes.NotFound, "no execution")
		_, err = s.client.PurgeDeadLetters(s.as(t, org), &ignitev1.PurgeDeadLettersRequest{ExecutionIds: []string{id}})
		wantCode(t, err, codes.NotFound, "no execution")
	}
	s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	completed := s.endNext(t, ref, store.Completed)
	pending := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	for _, id := range []string{completed.ID, pending} {
		_, err := s.redrive(t, "acme", id)
		wantCode(t, err, codes.FailedPrecondition, "FAILED or TIMEOUT")
	}
	must(s.client.DeleteApp(s.as(t, "acme"), &ignitev1.DeleteAppRequest{OrganizationName: "acme", AppName: "hello"}))
	_, err := s.redrive(t, "acme", old.ID)
	wantCode(t, err, codes.FailedPrecondition, "deleted")
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	_, err = s.redrive(t, "acme", old.ID)
	wantCode(t, err, codes.FailedPrecondition, "deleted")
	if s.letters(t, old.ID) != 1 {
		t.Error("a redrive that was refused took the dead letter")
	}
}

// Its worker writes the record before it puts the request aside.
func TestRedriveOfWhatIsJustEnding(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	job := s.hold(t, ref)
	record := s.record(t, id)
	record.Status = store.Failed
	record = must(s.store.UpdateExecution(t.Context(), record))
	_, err := s.redrive(t, "acme", id)
	wantCode(t, err, codes.Unavailable, "try again")
	s.keep(t, record, job.Work)
	if _, err := s.redrive(t, "acme", id); err != nil {
		t.Error(err)
	}
}

func TestPurgedIsGone(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	large := s.failed(t, &ignitev1.InvokeRequest{Body: make([]byte, store.MaxInline+1)})
	small := s.failed(t, &ignitev1.InvokeRequest{})
	kept := s.failed(t, &ignitev1.InvokeRequest{})
	purge := func(r *ignitev1.PurgeDeadLettersRequest) *ignitev1.PurgeDeadLettersResponse {
		return must(s.client.PurgeDeadLetters(s.as(t, "acme"), r))
	}
	answer := purge(&ignitev1.PurgeDeadLettersRequest{ExecutionIds: []string{large.ID, small.ID}})
	if answer.GetPurged() != 2 || answer.GetMore() || s.letters(t, large.ID, small.ID, kept.ID) != 1 {
		t.Errorf("purged %v, and %d dead letters stay", answer, s.letters(t, large.ID, small.ID, kept.ID))
	}
	if _, payloads := s.stored(t); payloads != 0 {
		t.Errorf("%d pieces of payloads stay", payloads)
	}
	for range 2 {
		_, err := s.redrive(t, "acme", large.ID)
		wantCode(t, err, codes.FailedPrecondition, "purged")
	}
	if answer := purge(&ignitev1.PurgeDeadLettersRequest{ExecutionIds: []string{large.ID}}); answer.GetPurged() != 0 {
		t.Errorf("purged %v again", answer)
	}
	for _, r := range []*ignitev1.PurgeDeadLettersRequest{
		{}, {ExecutionIds: []string{kept.ID}, Filter: &ignitev1.ExecutionFilter{}}, {ExecutionIds: make([]string, 1001)},
	} {
		_, err := s.client.PurgeDeadLetters(s.as(t, "acme"), r)
		wantCode(t, err, codes.InvalidArgument)
	}
}

// What runs and what waits keeps its request.
func TestPurgeLeavesWhatHasNotEnded(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: make([]byte, store.MaxInline+1)})
	answer := must(s.client.PurgeDeadLetters(s.as(t, "acme"), &ignitev1.PurgeDeadLettersRequest{ExecutionIds: []string{id}}))
	if works, payloads := s.stored(t); works != 1 || payloads == 0 || answer.GetPurged() != 0 {
		t.Errorf("purged %v, %d works and %d pieces of payloads stay", answer, works, payloads)
	}
}

func TestRedrivesAtTheSameTimeAreOneExecution(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	old := s.failed(t, &ignitev1.InvokeRequest{Body: make([]byte, store.MaxInline+1)})
	ids := make([]string, 8)
	var redriving sync.WaitGroup
	for i := range ids {
		redriving.Go(func() {
			var err error
			if ids[i], err = s.redrive(t, "acme", old.ID); err != nil {
				t.Error(err)
			}
		})
	}
	redriving.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("one became %s, another %s", ids[0], id)
		}
	}
	if works, _ := s.stored(t); works != 1 || len(s.records(t)) != 2 {
		t.Errorf("%d works and %d records are stored", works, len(s.records(t)))
	}
}

// A gateway may be cut off between any two effects of a redrive.
func TestRedriveThatWasCutOffIsRepeated(t *testing.T) {
	t.Parallel()
	for _, boundary := range []gateway.Boundary{
		gateway.KeyClaimed, gateway.BodyStored, gateway.WorkQueued, gateway.RecordCreated, gateway.Accepted, gateway.SubmissionSynced, gateway.Redriven,
	} {
		t.Run(string(boundary), func(t *testing.T) {
			t.Parallel()
			s, cut := startCutOff(t, boundary)
			s.publish(t, "acme", "hello", http.NotFoundHandler())
			old := s.failed(t, &ignitev1.InvokeRequest{Body: make([]byte, store.MaxInline+1)})
			cut.Store(true)
			_, err := s.redrive(t, "acme", old.ID)
			wantCode(t, err, codes.Internal)
			if s.letters(t, old.ID) != 1 {
				t.Error("the dead letter went first")
			}
			id, err := s.redrive(t, "acme", old.ID)
			if err != nil {
				t.Fatal(err)
			}
			if works, _ := s.stored(t); works != 1 || len(s.records(t)) != 2 || s.record(t, id).RedrivenFrom != old.ID {
				t.Errorf("%d works and records %v are stored", works, s.records(t))
			}
			if s.letters(t, old.ID) != 0 {
				t.Error("the dead letter stays")
			}
		})
	}
}

func TestRedriveByFilter(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	var failed []store.Execution
	for range 5 {
		failed = append(failed, s.failed(t, &ignitev1.InvokeRequest{}))
	}
	s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	s.endNext(t, ref, store.Completed)
	redrive := func(r *ignitev1.RedriveExecutionsRequest) *ignitev1.RedriveExecutionsResponse {
		return must(s.client.RedriveExecutions(s.as(t, "acme"), r))
	}
	first := redrive(&ignitev1.RedriveExecutionsRequest{Limit: 2})
	if len(first.GetResults()) != 2 || !first.GetMore() {
		t.Fatalf("two of five are %v", first)
	}
	for i, result := range first.GetResults() {
		if old := failed[len(failed)-1-i]; result.GetExecutionId() != old.ID || s.record(t, result.GetNewExecutionId()).RedrivenFrom != old.ID {
			t.Errorf("result %d is %v, want one of %s", i, result, old.ID)
		}
	}
	if other := redrive(&ignitev1.RedriveExecutionsRequest{Filter: &ignitev1.ExecutionFilter{AppName: "other"}}); len(other.GetResults()) != 0 || other.GetMore() {
		t.Errorf("of another app are %v", other)
	}
	rest := redrive(&ignitev1.RedriveExecutionsRequest{Filter: &ignitev1.ExecutionFilter{OrganizationName: "acme", AppName: "hello"}, Limit: 3})
	if len(rest.GetResults()) != 3 || rest.GetMore() {
		t.Errorf("the rest is %v", rest)
	}
	if none := redrive(&ignitev1.RedriveExecutionsRequest{}); len(none.GetResults()) != 0 || none.GetMore() {
		t.Errorf("in the end there are %v", none)
	}
	if works, _ := s.stored(t); works != 5 {
		t.Errorf("%d works are stored", works)
	}
	_, err := s.client.RedriveExecutions(s.as(t, "other"), &ignitev1.RedriveExecutionsRequest{Filter: &ignitev1.ExecutionFilter{OrganizationName: "acme"}})
	wantCode(t, err, codes.PermissionDenied)
}

// One that is refused stays, and does not keep the others.
func TestRedriveByFilterGoesOnOverWhatIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	gone := s.failed(t, &ignitev1.InvokeRequest{})
	must(s.client.DeleteApp(s.as(t, "acme"), &ignitev1.DeleteAppRequest{OrganizationName: "acme", AppName: "hello"}))
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	fine := s.failed(t, &ignitev1.InvokeRequest{})
	answer := must(s.client.RedriveExecutions(s.as(t, "acme"), &ignitev1.RedriveExecutionsRequest{}))
	results := answer.GetResults()
	if len(results) != 2 || results[0].GetExecutionId() != fine.ID || results[0].GetError() != nil || results[0].GetNewExecutionId() == "" ||
		results[1].GetExecutionId() != gone.ID || codes.Code(results[1].GetError().GetCode()) != codes.FailedPrecondition || results[1].GetNewExecutionId() != "" {
		t.Errorf("results are %v", results)
	}
	if s.letters(t, gone.ID) != 1 || s.letters(t, fine.ID) != 0 {
		t.Error("not those dead letters went that were redriven")
	}
}

func TestPurgeByFilter(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	var ids []string
	for range 4 {
		ids = append(ids, s.failed(t, &ignitev1.InvokeRequest{}).ID)
	}
	purge := func(r *ignitev1.PurgeDeadLettersRequest) *ignitev1.PurgeDeadLettersResponse {
		return must(s.client.PurgeDeadLetters(s.as(t, "acme"), r))
	}
	if answer := purge(&ignitev1.PurgeDeadLettersRequest{Filter: &ignitev1.ExecutionFilter{}, Limit: 3}); answer.GetPurged() != 3 || !answer.GetMore() {
		t.Errorf("three of four are %v", answer)
	}
	if s.letters(t, ids...) != 1 || s.letters(t, ids[0]) != 1 {
		t.Error("the oldest is not the one that stays")
	}
	response := s.do(t, "POST", "/v1/ignite/executions/purge", `{"filter":{"appName":"hello"}}`)
	if body := readAll(t, response); response.StatusCode != 200 || body != `{"purged":1}` {
		t.Errorf("answer is %d %s", response.StatusCode, body)
	}
	if response := s.do(t, "POST", "/v1/ignite/executions/redrive", `{"filter":{"statuses":["EXECUTION_STATUS_FAILED"]}}`); readAll(t, response) != "{}" {
		t.Errorf("there is something left to redrive")
	}
}
