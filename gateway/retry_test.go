package gateway_test

import (
	"math"
	"net/http"
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

var defaultRetry = &ignitev1.RetryPolicy{
	MaxAttempts: 1, InitialBackoffMs: 1000, MaxBackoffMs: 300_000, Multiplier: 2, Jitter: new(0.2),
	RetryStatuses: []uint32{408, 425, 429, 500, 502, 503, 504}, MaxAgeSecs: 86_400,
}

func (s *setup) retryOf(t testing.TB, app string) *ignitev1.RetryPolicy {
	t.Helper()
	answer, err := s.client.GetApp(s.as(t, "acme"), &ignitev1.GetAppRequest{OrganizationName: "acme", AppName: app})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetApp().GetRetry()
}

func wantRetry(t testing.TB, got, want *ignitev1.RetryPolicy) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("policy is %v, want %v", got, want)
	}
}

func TestRetryPolicyOfAnAppIsShownWithItsDefaults(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx := s.as(t, "acme")
	must(s.client.CreateApp(ctx, &ignitev1.CreateAppRequest{OrganizationName: "acme", Name: "silent"}))
	wantRetry(t, s.retryOf(t, "silent"), defaultRetry)

	patient := &ignitev1.RetryPolicy{MaxAttempts: 5, Jitter: new(0.0), RetryStatuses: []uint32{503}}
	must(s.client.CreateApp(ctx, &ignitev1.CreateAppRequest{OrganizationName: "acme", Name: "patient", Retry: patient}))
	want := proto.CloneOf(defaultRetry)
	want.MaxAttempts, want.Jitter, want.RetryStatuses = 5, new(0.0), []uint32{503}
	wantRetry(t, s.retryOf(t, "patient"), want)

	change := func(r *ignitev1.RetryPolicy) *ignitev1.RetryPolicy {
		return must(s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "patient", Retry: r})).GetApp().GetRetry()
	}
	wantRetry(t, change(nil), want)
	replaced := proto.CloneOf(defaultRetry)
	replaced.Multiplier = 3
	wantRetry(t, change(&ignitev1.RetryPolicy{Multiplier: 3}), replaced)
	wantRetry(t, change(&ignitev1.RetryPolicy{}), defaultRetry)
}

func TestRetryPolicyTakesEffectWithoutPublishing(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	before := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	must(s.client.UpdateAppConfig(s.as(t, "acme"), &ignitev1.UpdateAppConfigRequest{
		OrganizationName: "acme", AppName: "hello", Retry: &ignitev1.RetryPolicy{MaxAttempts: 4, MaxAgeSecs: 60},
	}))
	after := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	over := s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Retry: &ignitev1.RetryPolicy{MaxAttempts: 2}})
	for id, want := range map[string]store.RetryPolicy{
		before: {}, after: {MaxAttempts: 4, MaxAge: 60e9}, over: {MaxAttempts: 2, MaxAge: 60e9},
	} {
		record := must(s.store.Execution(t.Context(), "acme", id))
		if got := record.Retry; got.MaxAttempts != want.MaxAttempts || got.MaxAge != want.MaxAge || record.Incarnation == "" {
			t.Errorf("policy of the record is %+v, want %+v, of incarnation %q", got, want, record.Incarnation)
		}
	}
}

func TestRetryPoliciesThatCannotBe(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	ctx := s.as(t, "acme")
	for field, r := range map[string]*ignitev1.RetryPolicy{
		"retry.max_attempts":       {MaxAttempts: 101},
		"retry.initial_backoff_ms": {InitialBackoffMs: 2000, MaxBackoffMs: 1000},
		"retry.max_backoff_ms":     {MaxBackoffMs: math.MaxUint32},
		"retry.multiplier":         {Multiplier: 0.5},
		"retry.jitter":             {Jitter: new(1.5)},
		"retry.retry_statuses[1]":  {RetryStatuses: []uint32{500, 200}},
		"retry.retry_statuses":     {RetryStatuses: slices.Repeat([]uint32{500}, 65)},
		"retry.max_age_secs":       {MaxAgeSecs: 31 * 86_400},
	} {
		_, created := s.client.CreateApp(ctx, &ignitev1.CreateAppRequest{OrganizationName: "acme", Name: "new", Retry: r})
		_, updated := s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "hello", Retry: r})
		_, invoked := s.client.InvokeAsync(ctx, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Retry: r})
		for what, err := range map[string]error{"create": created, "update": updated, "invoke": invoked} {
			if got := violated(t, err); !slices.Equal(got, []string{field}) {
				t.Errorf("%s with %v violates %v, want %s", what, r, got, field)
			}
		}
	}
	for _, number := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
		_, err := s.client.InvokeAsync(ctx, &ignitev1.InvokeRequest{
			OrganizationName: "acme", AppName: "hello", Retry: &ignitev1.RetryPolicy{Multiplier: number, Jitter: &number},
		})
		if got := violated(t, err); !slices.Equal(got, []string{"retry.multiplier", "retry.jitter"}) {
			t.Errorf("%v violates %v", number, got)
		}
	}
}

// violated answers the fields that an error names.
func violated(t testing.TB, err error) []string {
	t.Helper()
	wantCode(t, err, codes.InvalidArgument)
	var fields []string
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}
