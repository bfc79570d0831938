package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// wantRetryInfo checks that a gRPC error says when to try again.
func wantRetryInfo(t testing.TB, err error) {
	t.Helper()
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok && retry.GetRetryDelay().AsDuration() > 0 {
			return
		}
	}
	t.Errorf("error %v does not say when to try again", err)
}

// While NATS is away nothing is accepted, and nobody hangs beyond their own deadline to hear so.
func TestSubmissionsWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	old := s.failed(t, &ignitev1.InvokeRequest{})
	before := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	s.server.Stop(t)
	small := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}
	large := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: make([]byte, store.MaxInline+1)}
	keyed := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", IdempotencyKey: "k", Body: large.Body}
	var calling sync.WaitGroup
	for name, call := range map[string]func(context.Context) error{
		"small": func(ctx context.Context) error { _, err := s.client.InvokeAsync(ctx, small); return err },
		"large": func(ctx context.Context) error { _, err := s.client.InvokeAsync(ctx, large); return err },
		"keyed": func(ctx context.Context) error { _, err := s.client.InvokeAsync(ctx, keyed); return err },
		"batch": func(ctx context.Context) error {
			answer, err := s.client.InvokeAsyncBatch(ctx, batchOf(small, large))
			for _, entry := range answer.GetResults() {
				refusal := must(status.New(codes.Code(entry.GetError().GetCode()), entry.GetError().GetMessage()).WithDetails(
					&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(entry.GetError().GetRetryAfterMs()) * time.Millisecond)}))
				err = refusal.Err()
			}
			return err
		},
		"redrive": func(ctx context.Context) error {
			_, err := s.client.RedriveExecution(ctx, &ignitev1.RedriveExecutionRequest{ExecutionId: old.ID})
			return err
		},
	} {
		calling.Go(func() {
			ctx, cancel := context.WithTimeout(s.as(t, "acme"), 10*time.Second)
			defer cancel()
			err := call(ctx) // one that hangs ends with DEADLINE_EXCEEDED, which the client itself says
			if status.Code(err) != codes.Unavailable {
				t.Errorf("%s: %v", name, err)
			}
			wantRetryInfo(t, err)
		})
	}
	calling.Wait()
	refused := s.do(t, "POST", helloInvoke+"-async", string(must(marshal(large))))
	if wantProblem(t, refused, 503, codes.Unavailable, "try again"); refused.Header.Get("Retry-After") == "" {
		t.Error("the answer has no Retry-After")
	}
	s.server.Resume(t)
	s.until(t, func() bool { return s.reached(t, before) })
	s.take(t, ref)
}

// reached reports whether a record can be read.
func (s *setup) reached(t testing.TB, id string) bool {
	_, err := s.client.GetExecution(s.as(t, "acme"), &ignitev1.GetExecutionRequest{ExecutionId: id})
	return err == nil
}

// A queue that is full says when to try again, on every surface; what was accepted before stays, and there is room again once some of it is done.
func TestFullQueueRefusesAndKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	s := startQueueing(t, 8*256<<10)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	request := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: []byte(strings.Repeat("x", 50<<10))}
	accepted := map[string]bool{}
	var err error
	for err == nil && len(accepted) < 20 {
		var answer *ignitev1.InvokeAsyncResponse
		if answer, err = s.client.InvokeAsync(s.as(t, "acme"), request); err == nil {
			accepted[answer.GetExecutionId()] = true
		}
	}
	wantCode(t, err, codes.ResourceExhausted, "the queue is full")
	wantRetryInfo(t, err)
	refused := s.do(t, "POST", helloInvoke+"-async", string(must(marshal(request))))
	if wantProblem(t, refused, 429, codes.ResourceExhausted, "the queue is full"); refused.Header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After is %q", refused.Header.Get("Retry-After"))
	}
	for range len(accepted) {
		record := s.endNext(t, ref, store.Completed)
		if !accepted[record.ID] {
			t.Errorf("%s was done and never accepted", record.ID)
		}
		delete(accepted, record.ID)
	}
	s.submit(t, request)
}
