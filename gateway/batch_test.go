package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const helloBatch = helloInvoke + "-async/batch"

func batchOf(requests ...*ignitev1.InvokeRequest) *ignitev1.InvokeAsyncBatchRequest {
	return &ignitev1.InvokeAsyncBatchRequest{OrganizationName: "acme", AppName: "hello", Requests: requests}
}

func (s *setup) submitBatch(t testing.TB, r *ignitev1.InvokeAsyncBatchRequest) []*ignitev1.InvokeAsyncResult {
	t.Helper()
	answer, err := s.client.InvokeAsyncBatch(s.as(t, "acme"), r)
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetResults()
}

func TestBatchIsAcceptedInOrderWithOneSync(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	const entries = 1000
	r := batchOf()
	for i := range entries {
		r.Requests = append(r.Requests, &ignitev1.InvokeRequest{Body: fmt.Append(nil, i)})
	}
	before := s.syncs.Load()
	results := s.submitBatch(t, r)
	if syncs := s.syncs.Load() - before; syncs != 1 || len(results) != entries {
		t.Errorf("%d results after %d syncs", len(results), syncs)
	}
	bodies := map[string]string{}
	queue := must(s.stream.Queue(t.Context(), streamApp(ref)))
	defer func() { _ = queue.Close() }()
	for job, err := range queue.Take(t.Context(), entries, 30*time.Second) {
		if err != nil {
			t.Fatal(err)
		}
		bodies[job.Execution] = string(job.Body)
		if err := job.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i, result := range results {
		if got, known := bodies[result.GetExecutionId()]; got != fmt.Sprint(i) || !known || result.GetError() != nil {
			t.Fatalf("result %d is %v, whose body is %q", i, result, got)
		}
		if record := s.record(t, result.GetExecutionId()); record.Status != store.Pending {
			t.Fatalf("record %d is %s", i, record.Status)
		}
	}
}

func TestEntryThatIsRefusedLeavesTheOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	s.publish(t, "acme", "other", http.NotFoundHandler())
	results := s.submitBatch(t, batchOf(
		&ignitev1.InvokeRequest{Body: []byte("fine"), IdempotencyKey: "k"},
		&ignitev1.InvokeRequest{Http: &ignitev1.HttpContext{Path: "no slash"}},
		&ignitev1.InvokeRequest{AppName: "other"},
		&ignitev1.InvokeRequest{Http: &ignitev1.HttpContext{Headers: map[string]string{strings.Repeat("x ", 100_000): "1"}}},
		&ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Delay: durationpb.New(time.Hour), Body: make([]byte, store.MaxInline+1)},
	))
	for i, want := range []codes.Code{codes.OK, codes.InvalidArgument, codes.InvalidArgument, codes.InvalidArgument, codes.OK} {
		result := results[i]
		if got := codes.Code(result.GetError().GetCode()); got != want || (result.GetExecutionId() == "") != (want != codes.OK) {
			t.Errorf("result %d is %.200v, want %v", i, result, want)
		}
		if len(result.GetError().GetMessage()) > 2<<10 {
			t.Errorf("the message of result %d has %d bytes", i, len(result.GetError().GetMessage()))
		}
	}
	again := s.submitBatch(t, batchOf(
		&ignitev1.InvokeRequest{Body: []byte("fine"), IdempotencyKey: "k"},
		&ignitev1.InvokeRequest{Body: []byte("not the same"), IdempotencyKey: "k"},
		&ignitev1.InvokeRequest{Body: []byte("new"), IdempotencyKey: "l"},
		&ignitev1.InvokeRequest{Body: []byte("new"), IdempotencyKey: "l"},
	))
	if again[0].GetExecutionId() != results[0].GetExecutionId() || again[2].GetExecutionId() != again[3].GetExecutionId() {
		t.Errorf("keys stand for %v, before %v", again, results[0])
	}
	if codes.Code(again[1].GetError().GetCode()) != codes.AlreadyExists {
		t.Errorf("another request with the same key is %v", again[1])
	}
	if records := s.records(t); len(records) != 3 {
		t.Errorf("there are %d records, want 3", len(records))
	}
}

func TestEntriesThatFindNoRoomSayWhenToTryAgain(t *testing.T) {
	t.Parallel()
	s := startQueueing(t, 8*256<<10)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	r := batchOf()
	for range 10 {
		r.Requests = append(r.Requests, &ignitev1.InvokeRequest{Body: make([]byte, 100<<10)})
	}
	accepted := map[string]bool{}
	for _, result := range s.submitBatch(t, r) {
		if e := result.GetError(); e == nil {
			accepted[result.GetExecutionId()] = true
		} else if codes.Code(e.GetCode()) != codes.ResourceExhausted || e.GetRetryAfterMs() != 5000 {
			t.Errorf("refused with %v", e)
		}
	}
	if len(accepted) == 0 || len(accepted) == 10 {
		t.Errorf("%d of 10 were accepted", len(accepted))
	}
	for id, status := range s.records(t) {
		if accepted[id] != (status == store.Pending) {
			t.Errorf("execution %s is %s, and accepted: %v", id, status, accepted[id])
		}
	}
}

func TestBatchesThatAreRefusedWhole(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	must(s.client.CreateApp(s.as(t, "acme"), &ignitev1.CreateAppRequest{OrganizationName: "acme", Name: "draft"}))
	many := batchOf(make([]*ignitev1.InvokeRequest, 1001)...)
	for i := range many.Requests {
		many.Requests[i] = &ignitev1.InvokeRequest{}
	}
	large := batchOf(&ignitev1.InvokeRequest{Body: make([]byte, testPayload)}, &ignitev1.InvokeRequest{Body: []byte{1}})
	draft, missing := batchOf(&ignitev1.InvokeRequest{}), batchOf(&ignitev1.InvokeRequest{})
	draft.AppName, missing.AppName = "draft", "missing"
	for name, c := range map[string]struct {
		request *ignitev1.InvokeAsyncBatchRequest
		code    codes.Code
		word    string
	}{
		"none":      {batchOf(), codes.InvalidArgument, "1 to 1000"},
		"too many":  {many, codes.InvalidArgument, "1 to 1000"},
		"too large": {large, codes.ResourceExhausted, "bodies of a batch"},
		"draft":     {draft, codes.FailedPrecondition, "published"},
		"missing":   {missing, codes.NotFound, "missing"},
	} {
		_, err := s.client.InvokeAsyncBatch(s.as(t, "acme"), c.request)
		if wantCode(t, err, c.code, c.word); t.Failed() {
			t.Fatal(name)
		}
	}
	_, err := s.client.InvokeAsyncBatch(metadata.AppendToOutgoingContext(s.as(t, "acme"), "idempotency-key", "k"), batchOf(&ignitev1.InvokeRequest{}))
	wantCode(t, err, codes.InvalidArgument, "each entry its own")
	_, err = s.client.InvokeAsyncBatch(s.as(t, "other"), batchOf(&ignitev1.InvokeRequest{}))
	wantCode(t, err, codes.PermissionDenied)
	s.burning.Store(true)
	_, err = s.client.InvokeAsyncBatch(s.as(t, "acme"), batchOf(&ignitev1.InvokeRequest{}))
	wantCode(t, err, codes.Internal)
}

// Over HTTP a batch may be as large as over gRPC.
func TestBatchOverHTTP(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	text := func(r *ignitev1.InvokeAsyncBatchRequest) string { return string(must(marshal(r))) }
	half := make([]byte, testPayload/2)
	r := batchOf(&ignitev1.InvokeRequest{Body: half}, &ignitev1.InvokeRequest{Body: half}, &ignitev1.InvokeRequest{Http: &ignitev1.HttpContext{Path: "no slash"}})
	r.OrganizationName, r.AppName = "", ""
	response := s.do(t, "POST", helloBatch, text(r))
	var answer ignitev1.InvokeAsyncBatchResponse
	if err := protojson.Unmarshal([]byte(readAll(t, response)), &answer); err != nil || response.StatusCode != 200 {
		t.Fatalf("answer is %d, %v", response.StatusCode, err)
	}
	results := answer.GetResults()
	if len(results) != 3 || results[0].GetExecutionId() == "" || results[1].GetExecutionId() == "" || results[2].GetError().GetCode() != int32(codes.InvalidArgument) {
		t.Errorf("results are %v", results)
	}
	wantProblem(t, s.do(t, "POST", helloBatch, `{"requests":[]}`), 400, codes.InvalidArgument, "1 to 1000")
	wantProblem(t, s.do(t, "POST", helloBatch, `{"appName":"x","requests":[{}]}`), 400, codes.InvalidArgument, "app_name")
	wantProblem(t, s.do(t, "POST", helloBatch, `{"requests":[{}]}`, keyHeader("k")), 400, codes.InvalidArgument, "each entry its own")
	r.Requests = append(r.Requests, &ignitev1.InvokeRequest{Body: make([]byte, testPayload)})
	wantProblem(t, s.do(t, "POST", helloBatch, text(r)), 413, codes.ResourceExhausted)
}

// BenchmarkBatch accepts a thousand small calls, in one request and one by one.
func BenchmarkBatch(b *testing.B) {
	s := startQuiet(b)
	s.publish(b, "acme", "hello", http.NotFoundHandler())
	r := batchOf()
	for range 1000 {
		r.Requests = append(r.Requests, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: make([]byte, 256)})
	}
	ctx := s.as(b, "acme")
	b.Run("together", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.client.InvokeAsyncBatch(ctx, r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one by one", func(b *testing.B) {
		for b.Loop() {
			for _, entry := range r.GetRequests() {
				if _, err := s.client.InvokeAsync(ctx, entry); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
