package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"dodil.io/ignite/gateway"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// order is a request with everything that tells it from another.
func order() *ignitev1.InvokeRequest {
	return &ignitev1.InvokeRequest{
		OrganizationName: "acme", AppName: "hello", IdempotencyKey: "order-1", Body: []byte("one"),
		Http: &ignitev1.HttpContext{Path: "/p", Query: "q=1", Headers: map[string]string{"x-mine": "1"}},
	}
}

// submitHTTP submits over HTTP and answers the id.
func (s *setup) submitHTTP(t testing.TB, body string, change ...func(*http.Request)) string {
	t.Helper()
	response := s.do(t, "POST", helloInvoke+"-async", body, change...)
	var accepted struct{ ExecutionID string }
	if err := json.Unmarshal([]byte(readAll(t, response)), &accepted); err != nil || response.StatusCode != 200 {
		t.Fatalf("answer is %d, %v", response.StatusCode, err)
	}
	return accepted.ExecutionID
}

func keyHeader(keys ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header["Idempotency-Key"] = keys }
}

// wantOne checks that one execution is all that there is.
func (s *setup) wantOne(t testing.TB, id string) {
	t.Helper()
	if works, _ := s.stored(t); works != 1 {
		t.Errorf("%d works are stored", works)
	}
	if records := s.records(t); len(records) != 1 || records[id] != store.Pending {
		t.Errorf("records are %v, want %s", records, id)
	}
}

func TestSameKeyAndSameRequestIsOneExecutionOnEverySurface(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	first := s.submit(t, order())
	beside := order()
	beside.IdempotencyKey = ""
	accepted, err := s.client.InvokeAsync(metadata.AppendToOutgoingContext(s.as(t, "acme"), "idempotency-key", "order-1"), beside)
	if err != nil {
		t.Fatal(err)
	}
	text := func(r *ignitev1.InvokeRequest) string { return string(must(marshal(r))) }
	for how, again := range map[string]string{
		"gRPC field":    s.submit(t, order()),
		"gRPC metadata": accepted.GetExecutionId(),
		"HTTP field":    s.submitHTTP(t, text(order())),
		"HTTP header":   s.submitHTTP(t, text(beside), keyHeader("order-1")),
		"HTTP both":     s.submitHTTP(t, text(order()), keyHeader("order-1", "order-1")),
	} {
		if again != first {
			t.Errorf("%s: %s, want %s", how, again, first)
		}
	}
	s.wantOne(t, first)
}

// What is not stored is no part of a request: another token, another order of headers.
func TestSameRequestIsToldByWhatIsStored(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	first := s.submit(t, order())
	again := order()
	again.Http.Headers = map[string]string{"authorization": "Bearer other", "cookie": "c=2"}
	again.Http.HeaderFields = []*ignitev1.HeaderField{{Name: "X-MINE", Value: "1"}}
	if id := s.submit(t, again); id != first {
		t.Errorf("it became %s, want %s", id, first)
	}
	s.wantOne(t, first)
}

func TestSameKeyAndOtherRequestIsAConflict(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	first := s.submit(t, order())
	for name, change := range map[string]func(*ignitev1.InvokeRequest){
		"body":       func(r *ignitev1.InvokeRequest) { r.Body = []byte("two") },
		"method":     func(r *ignitev1.InvokeRequest) { r.Http.Method = ignitev1.HttpMethod_HTTP_METHOD_PUT },
		"path":       func(r *ignitev1.InvokeRequest) { r.Http.Path = "/q" },
		"query":      func(r *ignitev1.InvokeRequest) { r.Http.Query = "q=2" },
		"header":     func(r *ignitev1.InvokeRequest) { r.Http.Headers["x-mine"] = "2" },
		"one header": func(r *ignitev1.InvokeRequest) { r.Http.Headers["x-yours"] = "1" },
		"delay":      func(r *ignitev1.InvokeRequest) { r.Delay = durationpb.New(time.Hour) },
		"not before": func(r *ignitev1.InvokeRequest) { r.NotBefore = timestamppb.New(time.Now().Add(time.Hour)) },
		"retry":      func(r *ignitev1.InvokeRequest) { r.Retry = &ignitev1.RetryPolicy{MaxAttempts: 2} },
	} {
		t.Run(name, func(t *testing.T) {
			r := order()
			change(r)
			_, err := s.client.InvokeAsync(s.as(t, "acme"), r)
			wantCode(t, err, codes.AlreadyExists, first, "use another key")
			wantProblem(t, s.do(t, "POST", helloInvoke+"-async", string(must(marshal(r)))), 409, codes.AlreadyExists, first)
		})
	}
	s.wantOne(t, first)
}

func TestKeysOfAppsAndOrganizationsAreApart(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, app := range []string{"hello", "other"} {
		s.publish(t, "acme", app, http.NotFoundHandler())
		s.publish(t, "public", app, http.NotFoundHandler())
	}
	ids := map[string]bool{}
	for _, org := range []string{"acme", "umbrella"} {
		for _, app := range []string{"hello", "other"} {
			r := order()
			r.OrganizationName, r.AppName = "public", app
			ids[must(s.client.InvokeAsync(s.as(t, org), r)).GetExecutionId()] = true
		}
	}
	for _, app := range []string{"hello", "other"} {
		r := order()
		r.AppName = app
		ids[s.submit(t, r)] = true
	}
	if len(ids) != 6 {
		t.Errorf("six submissions became %d executions", len(ids))
	}
}

// An app that was made again under its name is another app.
func TestKeyOfAnAppThatWasDeleted(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	first := s.submit(t, order())
	must(s.client.DeleteApp(s.as(t, "acme"), &ignitev1.DeleteAppRequest{OrganizationName: "acme", AppName: "hello"}))
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	if id := s.submit(t, order()); id == first {
		t.Error("the key stands for an execution of the old app")
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	for _, key := range []string{"a b", "é", "a\nb", "\x7f", strings.Repeat("k", 256)} {
		r := order()
		r.IdempotencyKey = key
		_, err := s.client.InvokeAsync(s.as(t, "acme"), r)
		wantCode(t, err, codes.InvalidArgument, "idempotency_key", "visible ASCII")
	}
	field := `{"idempotencyKey":"one"}`
	wantProblem(t, s.do(t, "POST", helloInvoke+"-async", field, keyHeader("two")), 400, codes.InvalidArgument, "not the same")
	wantProblem(t, s.do(t, "POST", helloInvoke+"-async", "{}", keyHeader("one", "two")), 400, codes.InvalidArgument, "not the same")
	wantProblem(t, s.do(t, "POST", helloInvoke+"-async", "{}", keyHeader("")), 400, codes.InvalidArgument, "visible ASCII")
	_, err := s.client.InvokeAsync(metadata.AppendToOutgoingContext(s.as(t, "acme"), "idempotency-key", "other"), order())
	wantCode(t, err, codes.InvalidArgument, "not the same")
	longest := order()
	longest.IdempotencyKey = strings.Repeat("~", 255)
	s.submit(t, longest)
}

func TestInvokeRefusesWhatIsForLater(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	for field, change := range map[string]func(*ignitev1.InvokeRequest){
		"idempotency_key": func(r *ignitev1.InvokeRequest) { r.IdempotencyKey = "k" },
		"delay":           func(r *ignitev1.InvokeRequest) { r.Delay = durationpb.New(0) },
		"not_before":      func(r *ignitev1.InvokeRequest) { r.NotBefore = timestamppb.Now() },
		"retry":           func(r *ignitev1.InvokeRequest) { r.Retry = &ignitev1.RetryPolicy{} },
	} {
		r := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}
		change(r)
		wantCode(t, s.invoke(t, s.as(t, "acme"), r).err, codes.InvalidArgument, field, "InvokeAsync only")
		wantProblem(t, s.do(t, "POST", helloInvoke, string(must(marshal(r)))), 400, codes.InvalidArgument, field)
	}
	wantProblem(t, s.do(t, "POST", helloInvoke, "{}", keyHeader("k")), 400, codes.InvalidArgument, "idempotency_key")
	ctx := metadata.AppendToOutgoingContext(s.as(t, "acme"), "idempotency-key", "k")
	wantCode(t, s.invoke(t, ctx, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}).err, codes.InvalidArgument, "idempotency_key")
}

func TestSameKeysAtTheSameTimeAreOneExecution(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, store.MaxInline + 1} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.publish(t, "acme", "hello", http.NotFoundHandler())
			ids := make([]string, 16)
			var submitting sync.WaitGroup
			for i := range ids {
				r := order()
				r.Body = make([]byte, size)
				submitting.Go(func() { ids[i] = s.submit(t, r) })
			}
			submitting.Wait()
			for _, id := range ids {
				if id != ids[0] {
					t.Errorf("one became %s, another %s", ids[0], id)
				}
			}
			s.wantOne(t, ids[0])
		})
	}
}

// A gateway may be cut off between any two effects of a submission. Whoever repeats it gets the one execution that came of it.
func TestRepetitionGoesOnWhereTheFirstWasCutOff(t *testing.T) {
	t.Parallel()
	for _, boundary := range []gateway.Boundary{
		gateway.KeyClaimed, gateway.BodyStored, gateway.WorkQueued, gateway.RecordCreated, gateway.Accepted, gateway.SubmissionSynced,
	} {
		for _, delay := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprint(boundary, " ", delay), func(t *testing.T) {
				t.Parallel()
				s, cut := startCutOff(t, boundary)
				ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
				r := order()
				r.Body = make([]byte, store.MaxInline+1)
				r.Delay = durationpb.New(delay)
				cut.Store(true)
				_, err := s.client.InvokeAsync(s.as(t, "acme"), r)
				wantCode(t, err, codes.Internal)
				id := s.submit(t, r)
				if again := s.submit(t, proto.CloneOf(r)); again != id {
					t.Errorf("repeated again it became %s, before %s", again, id)
				}
				s.wantOne(t, id)
				if delay == 0 {
					if work := s.take(t, ref); work.Execution != id {
						t.Errorf("the work is of %s, want %s", work.Execution, id)
					}
				}
			})
		}
	}
}

// startCutOff is start with a gateway that ends a call at a boundary, once each time cut is set, and does nothing more for it.
func startCutOff(t testing.TB, boundary gateway.Boundary) (s *setup, cut *atomic.Bool) {
	t.Helper()
	cut = &atomic.Bool{}
	s = start(t, func(c *gateway.Config) {
		c.Reached = func(b gateway.Boundary) {
			if b == boundary && cut.CompareAndSwap(true, false) {
				panic("cut off at " + b)
			}
		}
	})
	return s, cut
}

// The key of a submission that was refused is free for another request.
func TestRefusedSubmissionReleasesItsKey(t *testing.T) {
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
			records := len(s.records(t))
			for _, size := range []int{60 << 10, 50 << 10, store.MaxInline + 1} {
				r := order()
				r.Body = make([]byte, size)
				_, err := s.client.InvokeAsync(s.as(t, "acme"), r)
				wantCode(t, err, codes.ResourceExhausted, name)
			}
			if w, p := s.stored(t); w != works || p != payloads || len(s.records(t)) != records {
				t.Errorf("refused executions left %d works, %d payloads and %d records", w-works, p-payloads, len(s.records(t))-records)
			}
		})
	}
}

func TestKeyedSubmissionIsToldOnlyFromDisk(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	first := s.submit(t, order())
	s.burning.Store(true)
	_, err := s.client.InvokeAsync(s.as(t, "acme"), order())
	wantCode(t, err, codes.Internal)
	s.burning.Store(false)
	if again := s.submit(t, order()); again != first {
		t.Errorf("it became %s, before %s", again, first)
	}
}

// A submission is refused while a repetition of it, which found its claim, is about to be accepted. What the one takes away the other must not
// be told to have, and one key never becomes two executions.
func TestRepetitionOfASubmissionThatIsBeingRefused(t *testing.T) {
	t.Parallel()
	claimed, refuse, queued, accept := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	var claims, works atomic.Int32
	s := startSized(t, 256<<20, 64<<20, func(c *gateway.Config) {
		c.Reached = func(b gateway.Boundary) {
			switch {
			case b == gateway.KeyClaimed && claims.Add(1) == 1:
				close(claimed)
				<-refuse
			case b == gateway.WorkQueued && works.Add(1) == 1:
				close(queued)
				<-accept
			}
		}
	})
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	submit := func(answer chan<- error) {
		r := order()
		r.Body = make([]byte, store.MaxInline+1)
		_, err := s.client.InvokeAsync(s.as(t, "acme"), r)
		answer <- err
	}
	first, second := make(chan error, 1), make(chan error, 1)
	go submit(first)
	<-claimed
	go submit(second)
	<-queued
	const filler = "request.filler"
	if err := s.store.KeepPayload(t.Context(), filler, make([]byte, 60<<20), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	close(refuse)
	wantCode(t, <-first, codes.ResourceExhausted, "the storage is full")
	close(accept)
	err := <-second
	wantCode(t, err, codes.Unavailable, "try again")
	wantRetryInfo(t, err)
	if err := s.store.DeletePayload(t.Context(), filler); err != nil {
		t.Fatal(err)
	}

	r := order()
	r.Body = make([]byte, store.MaxInline+1)
	id := s.submit(t, r)
	if again := s.submit(t, proto.CloneOf(r)); again != id {
		t.Errorf("repeated it became %s, before %s", again, id)
	}
	if works, payloads := s.stored(t); works != 1 || payloads != 2 {
		t.Errorf("%d works and %d pieces of payloads are stored", works, payloads)
	}
	if work := s.take(t, ref); work.Execution != id {
		t.Errorf("the work is of %s, want %s", work.Execution, id)
	}
	for other, status := range s.records(t) {
		if want := store.Pending; (other == id) != (status == want) {
			t.Errorf("%s, of which nobody was told, is %s", other, status)
		}
	}
}

// The work of a submission that was cut off is dropped while a repetition makes its record.
func TestRepetitionWhoseWorkIsDropped(t *testing.T) {
	t.Parallel()
	var s *setup
	var works atomic.Int32
	s = start(t, func(c *gateway.Config) {
		c.Reached = func(b gateway.Boundary) {
			switch {
			case b == gateway.WorkQueued && works.Add(1) == 1:
				panic("cut off")
			case b == gateway.RecordCreated:
				for id := range s.records(t) {
					_ = s.stream.Remove(t.Context(), stream.App{Org: "acme", Name: "hello"}, id)
				}
			}
		}
	})
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	_, err := s.client.InvokeAsync(s.as(t, "acme"), order())
	wantCode(t, err, codes.Internal)
	id := s.submit(t, order())
	if work := s.take(t, ref); work.Execution != id {
		t.Errorf("the work is of %s, want %s", work.Execution, id)
	}
}
