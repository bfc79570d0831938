package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

func streamApp(ref store.AppRef) stream.App { return stream.App{Org: ref.Org, Name: ref.Name} }

// take answers the one job that waits for app, and takes it off the queue.
func (s *setup) take(t testing.TB, ref store.AppRef) stream.Work {
	t.Helper()
	queue := must(s.stream.Queue(t.Context(), streamApp(ref)))
	defer func() { _ = queue.Close() }()
	for job, err := range queue.Take(t.Context(), 1, 10*time.Second) {
		if err != nil {
			t.Fatal(err)
		}
		if err := job.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
		return job.Work
	}
	t.Fatal("no work waits")
	return stream.Work{}
}

func (s *setup) submit(t testing.TB, r *ignitev1.InvokeRequest) string {
	t.Helper()
	accepted, err := s.client.InvokeAsync(s.as(t, "acme"), r)
	if err != nil {
		t.Fatal(err)
	}
	return accepted.GetExecutionId()
}

func TestAcceptedExecutionIsKnownAndItsWorkWaits(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	response := s.do(t, "POST", helloInvoke+"-async", `{"body": "eyJrZXkiOiAidmFsdWUifQ==", "http": {"path": "/p", "headers": {
		"authorization": "Basic x", "cookie": "c=1", "proxy-authorization": "Basic y", "x-mine": "1"}}}`)
	var accepted struct{ ExecutionID string }
	if err := json.Unmarshal([]byte(readAll(t, response)), &accepted); err != nil || response.StatusCode != 200 {
		t.Fatalf("answer is %d, %v", response.StatusCode, err)
	}
	id := accepted.ExecutionID
	record := must(s.client.GetExecution(s.as(t, "acme"), &ignitev1.GetExecutionRequest{ExecutionId: id})).GetExecution()
	if record.GetStatus() != ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING || record.GetAppId() != "acme/hello" || record.GetAppName() != "hello" ||
		record.GetFunctionVersion() != 1 || record.GetMetrics().GetResourceTier() != "Medium" || record.GetCreatedAtMs() == 0 || record.GetMaxAttempts() != 1 {
		t.Errorf("record is %v", record)
	}
	work := s.take(t, ref)
	head := must(pod.DecodeHead(work.Request))
	if work.Execution != id || work.Owner != "acme" || string(work.Body) != `{"key": "value"}` {
		t.Errorf("work is %s of %s with %q", work.Execution, work.Owner, work.Body)
	}
	want := pod.Head{
		Envelope: pod.Envelope{Method: "POST", Path: "/p", Header: http.Header{"X-Mine": {"1"}}},
		Identity: pod.Identity{ExecutionID: id, FunctionID: "acme/hello", OrganizationID: "acme-id"},
	}
	if !reflect.DeepEqual(head, want) {
		t.Errorf("head is %+v, want %+v", head, want)
	}
}

func TestLargeBodyGoesAside(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	for _, size := range []int{store.MaxInline, store.MaxInline + 1, testPayload} {
		body := bytes.Repeat([]byte{'x'}, size)
		id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: body})
		work := s.take(t, ref)
		if head := must(pod.DecodeHead(work.Request)); head.Object != "" {
			if head.Object != "request."+id || len(work.Body) != 0 {
				t.Errorf("object is %q, with %d bytes in the message", head.Object, len(work.Body))
			}
			work.Body = must(s.store.Payload(t.Context(), head.Object))
		}
		if !bytes.Equal(work.Body, body) {
			t.Errorf("%d bytes became %d", size, len(work.Body))
		}
	}
}

func TestRecordOfAPublicAppBelongsToTheCaller(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "public", "hello", http.NotFoundHandler())
	accepted, err := s.client.InvokeAsync(s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "public", AppName: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	record := must(s.client.GetExecution(s.as(t, "acme"), &ignitev1.GetExecutionRequest{ExecutionId: accepted.GetExecutionId()}))
	if record.GetExecution().GetAppId() != "public/hello" {
		t.Errorf("record is %v", record)
	}
	_, err = s.client.GetExecution(s.as(t, "public"), &ignitev1.GetExecutionRequest{ExecutionId: accepted.GetExecutionId()})
	wantCode(t, err, codes.NotFound)
}

func TestIDsThatAreNotFound(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	for _, c := range []struct{ org, id string }{
		{"other", id}, {"acme", store.NewExecutionID()}, {"acme", "x"}, {"acme", "exec_*"}, {"acme", "exec_>"}, {"acme", strings.ToLower(id)},
	} {
		_, err := s.client.GetExecution(s.as(t, c.org), &ignitev1.GetExecutionRequest{ExecutionId: c.id})
		wantCode(t, err, codes.NotFound, "no execution")
		watch := must(s.client.WatchExecution(s.as(t, c.org), &ignitev1.WatchExecutionRequest{ExecutionId: c.id}))
		_, err = watch.Recv()
		wantCode(t, err, codes.NotFound, "no execution")
	}
	wantProblem(t, s.do(t, "GET", "/v1/ignite/executions/x", ""), 404, codes.NotFound)
	wantProblem(t, s.do(t, "GET", "/v1/ignite/executions/x/watch", ""), 404, codes.NotFound)
}

func TestNothingIsToldBeforeItIsOnDisk(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	s.burning.Store(true)
	_, err := s.client.InvokeAsync(s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	wantCode(t, err, codes.Internal, "request")
	if !strings.Contains(s.log.String(), "the disk is on fire") {
		t.Error("the log does not say why")
	}
}

func TestWhatCannotBeQueuedIsRefusedWhole(t *testing.T) {
	t.Parallel()
	const queue = 8 * 256 << 10 // of which every app has an eighth
	s := startQueueing(t, queue)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	request := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: make([]byte, 100<<10)}
	accepted := map[string]bool{}
	var err error
	for err == nil && len(accepted) < 10 {
		var answer *ignitev1.InvokeAsyncResponse
		if answer, err = s.client.InvokeAsync(s.as(t, "acme"), request); err == nil {
			accepted[answer.GetExecutionId()] = true
		}
	}
	wantCode(t, err, codes.ResourceExhausted, "the queue is full")
	for id, status := range s.records(t) {
		if want := store.Pending; accepted[id] != (status == want) {
			t.Errorf("execution %s is %s, and accepted: %v", id, status, accepted[id])
		}
	}
}

// When executions are refused, nothing of them stays: neither a large body, nor work that keeps workers from other work.
func TestNothingStaysOfWhatIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ queue, buckets int64 }{
		"the queue is full":   {8 * 64 << 10, 1 << 30},
		"the storage is full": {256 << 20, 8 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSized(t, test.queue, test.buckets)
			s.publish(t, "acme", "hello", http.NotFoundHandler())
			s.fill(t)
			works, payloads := s.stored(t)
			request := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: make([]byte, store.MaxInline+1)}
			_, err := s.client.InvokeAsync(s.as(t, "acme"), request)
			wantCode(t, err, codes.ResourceExhausted, name)
			if w, p := s.stored(t); w != works || p != payloads {
				t.Errorf("a refused execution left %d works and %d payloads", w-works, p-payloads)
			}
		})
	}
}

// fill makes records and work of acme/hello until no more of them are taken.
func (s *setup) fill(t testing.TB) {
	t.Helper()
	for size := 32 << 10; size > 0; size /= 2 {
		for range 1000 {
			id := store.NewExecutionID()
			record := store.Execution{ID: id, Org: "acme", App: store.AppRef{Org: "acme", Name: "hello"},
				Error: &store.ExecutionError{Message: strings.Repeat("x", size)}}
			work := stream.Work{Execution: id, Owner: "acme", App: stream.App{Org: "acme", Name: "hello"}, Body: make([]byte, size)}
			if _, err := s.store.CreateExecution(t.Context(), record); err != nil {
				return
			}
			if err := s.stream.Enqueue(t.Context(), work); err != nil {
				break
			}
		}
	}
}

// stored counts the works, now and for later, and the pieces of payloads that there are.
func (s *setup) stored(t testing.TB) (works, payloads uint64) {
	t.Helper()
	count := func(stream string) uint64 {
		return must(must(jetstream.New(s.nats)).Stream(t.Context(), stream)).CachedInfo().State.Msgs
	}
	for shard := range 8 {
		works += count(fmt.Sprint("IGNITE_WORK_", shard))
	}
	return works + count("IGNITE_LATER"), count("IGNITE_PAYLOADS")
}

// records answers the state of every execution that is stored.
func (s *setup) records(t testing.TB) map[string]store.Status {
	t.Helper()
	js := must(jetstream.New(s.nats))
	bucket := must(js.KeyValue(t.Context(), "ignite_executions"))
	states := map[string]store.Status{}
	for key := range must(bucket.ListKeys(t.Context())).Keys() {
		id := strings.Split(key, ".")[1]
		states[id] = must(s.store.Execution(t.Context(), "acme", id)).Status
	}
	return states
}
