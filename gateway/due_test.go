package gateway_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

func (s *setup) record(t testing.TB, id string) store.Execution {
	t.Helper()
	record, err := s.store.Execution(t.Context(), "acme", id)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func TestDelayedExecutionWaitsOutsideTheQueue(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	ahead := time.Now().Add(time.Hour)
	for name, id := range map[string]string{
		"delay":      s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Delay: durationpb.New(time.Hour)}),
		"not before": s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", NotBefore: timestamppb.New(ahead)}),
		"in JSON":    s.submitHTTP(t, `{"delay":"3600s"}`),
		"large": s.submit(t, &ignitev1.InvokeRequest{
			OrganizationName: "acme", AppName: "hello", Delay: durationpb.New(time.Hour), Body: make([]byte, store.MaxInline+1),
		}),
	} {
		record := s.record(t, id)
		if record.Status != store.Pending || !record.DueAt.Equal(record.NotBefore) || record.DueAt.Before(ahead) || record.DueAt.After(ahead.Add(time.Minute)) {
			t.Errorf("%s: record is %s, due at %v, want about %v", name, record.Status, record.DueAt, ahead)
		}
		if later := must(s.stream.IsLater(t.Context(), id)); !later {
			t.Errorf("%s: its work does not wait for its time", name)
		}
		public := must(s.client.GetExecution(s.as(t, "acme"), &ignitev1.GetExecutionRequest{ExecutionId: id})).GetExecution()
		if public.GetDueAtMs() != record.DueAt.UnixMilli() {
			t.Errorf("%s: due_at_ms is %d, want %d", name, public.GetDueAtMs(), record.DueAt.UnixMilli())
		}
	}
}

func TestWhatIsDueBeginsThen(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	ctx, stop := context.WithCancel(t.Context())
	var moving sync.WaitGroup
	moving.Go(func() {
		if err := s.stream.MoveDue(ctx); err != nil {
			t.Errorf("move what is due: %v", err)
		}
	})
	defer moving.Wait()
	defer stop()
	due := time.Now().Add(1500 * time.Millisecond)
	id := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", NotBefore: timestamppb.New(due), Body: []byte("later")})
	work := s.take(t, ref)
	if time.Now().Before(due) || work.Execution != id || string(work.Body) != "later" {
		t.Errorf("%s with %q came %v before its time", work.Execution, work.Body, time.Until(due))
	}
}

// What is due in a moment, now or in the past is given to the workers, who see when it is due.
func TestWhatIsDueSoonIsQueued(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	for _, c := range []struct {
		request *ignitev1.InvokeRequest
		waits   bool
	}{
		{&ignitev1.InvokeRequest{Delay: durationpb.New(0)}, false},
		{&ignitev1.InvokeRequest{NotBefore: timestamppb.New(time.Now().Add(-time.Hour))}, false},
		{&ignitev1.InvokeRequest{NotBefore: timestamppb.New(time.Unix(0, 0))}, false},
		{&ignitev1.InvokeRequest{Delay: durationpb.New(900 * time.Millisecond)}, true},
	} {
		c.request.OrganizationName, c.request.AppName = "acme", "hello"
		id := s.submit(t, c.request)
		if record := s.record(t, id); record.DueAt.IsZero() == c.waits || record.DueAt.After(time.Now().Add(time.Second)) {
			t.Errorf("%v is due at %v", c.request, record.DueAt)
		}
		if work := s.take(t, ref); work.Execution != id {
			t.Errorf("%v: work of %s is in the queue, want %s", c.request, work.Execution, id)
		}
	}
}

func TestTimesThatCannotBe(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	year := 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		request *ignitev1.InvokeRequest
		field   string
	}{
		"negative":      {&ignitev1.InvokeRequest{Delay: durationpb.New(-time.Second)}, "delay"},
		"over a year":   {&ignitev1.InvokeRequest{Delay: durationpb.New(year + time.Second)}, "delay"},
		"no duration":   {&ignitev1.InvokeRequest{Delay: &durationpb.Duration{Seconds: 1, Nanos: -1}}, "delay"},
		"both":          {&ignitev1.InvokeRequest{Delay: durationpb.New(0), NotBefore: timestamppb.Now()}, "not_before"},
		"after a year":  {&ignitev1.InvokeRequest{NotBefore: timestamppb.New(time.Now().Add(year + time.Hour))}, "not_before"},
		"year 10000":    {&ignitev1.InvokeRequest{NotBefore: &timestamppb.Timestamp{Seconds: 1 << 40}}, "not_before"},
		"no time":       {&ignitev1.InvokeRequest{NotBefore: &timestamppb.Timestamp{Nanos: -1}}, "not_before"},
		"no long delay": {&ignitev1.InvokeRequest{Delay: &durationpb.Duration{Seconds: 1 << 60}}, "delay"},
	} {
		c.request.OrganizationName, c.request.AppName = "acme", "hello"
		_, err := s.client.InvokeAsync(s.as(t, "acme"), c.request)
		if got := violated(t, err); !slices.Equal(got, []string{c.field}) {
			t.Errorf("%s violates %v, want %s", name, got, c.field)
		}
	}
	if works, _ := s.stored(t); works != 0 {
		t.Errorf("%d works are stored", works)
	}
}

// Where delayed work has no room any more, a submission leaves nothing, with a key and without.
func TestDelayedIsRefusedWholeToo(t *testing.T) {
	t.Parallel()
	s := startQueueing(t, 1<<20)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	submit := func(key string) error {
		_, err := s.client.InvokeAsync(s.as(t, "acme"), &ignitev1.InvokeRequest{
			OrganizationName: "acme", AppName: "hello", IdempotencyKey: key, Delay: durationpb.New(time.Hour), Body: make([]byte, 50<<10),
		})
		return err
	}
	accepted := 0
	var err error
	for err = submit(""); err == nil && accepted < 100; err = submit("") {
		accepted++
	}
	wantCode(t, err, codes.ResourceExhausted, "the queue is full")
	wantCode(t, submit("key"), codes.ResourceExhausted, "the queue is full")
	pending := 0
	for _, status := range s.records(t) {
		if status == store.Pending {
			pending++
		}
	}
	if works, _ := s.stored(t); pending != accepted || int(works) != accepted {
		t.Errorf("%d were accepted, %d records wait and %d works", accepted, pending, works)
	}
}

// What waits for its time for long is not taken for lost.
func TestReadingLeavesWhatIsDueLater(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	id, due := store.NewExecutionID(), time.Now().Add(time.Hour).UTC()
	record := store.Execution{ID: id, Org: "acme", App: ref, CreatedAt: time.Now().Add(-time.Hour), NotBefore: due, DueAt: due}
	must(s.store.CreateExecution(t.Context(), record))
	if err := s.stream.EnqueueLater(t.Context(), stream.Work{Execution: id, Owner: "acme", App: streamApp(ref)}, due, false); err != nil {
		t.Fatal(err)
	}
	public := must(s.client.GetExecution(s.as(t, "acme"), &ignitev1.GetExecutionRequest{ExecutionId: id})).GetExecution()
	if public.GetStatus() != ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING || public.GetDueAtMs() != due.UnixMilli() {
		t.Errorf("record is %v", public)
	}
}
