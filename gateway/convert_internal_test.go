package gateway

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"dodil.io/ignite/gateway/auth"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

func TestEveryFieldOfARecordIsTold(t *testing.T) {
	t.Parallel()
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	record := store.Execution{
		ID: "exec_1", Org: "acme", App: store.AppRef{Org: "public", Name: "hello"}, Version: 3, Status: store.Failed,
		Attempt: 7, AppFailures: 3, PlatformFailures: 2, Postponements: 1, RedrivenFrom: "exec_0", Tier: store.TierLarge,
		Retry: store.RetryPolicy{MaxAttempts: 4}, CreatedAt: at(1), StartedAt: at(2), FinishedAt: at(3), ExpiresAt: at(4),
		Error:          &store.ExecutionError{Code: "APP_ERROR", Message: "the app answered 500"},
		ResponseStatus: 500, ResponseHeader: map[string][]string{"X-A": {"1", "2"}}, Streamed: true, Chunks: 9,
		Queued: time.Second, ColdStart: 2 * time.Second, Ran: 3 * time.Second, ResultSize: 11,
	}
	want := &ignitev1.Execution{
		Id: "exec_1", AppId: "public/hello", AppName: "hello", FunctionVersion: 3, Status: ignitev1.ExecutionStatus_EXECUTION_STATUS_FAILED,
		Attempt: 7, AppFailures: 3, PlatformFailures: 2, Postponements: 1, RedrivenFrom: "exec_0", MaxAttempts: 4,
		CreatedAtMs: 1000, StartedAtMs: 2000, FinishedAtMs: 3000, ExpiresAtMs: 4000,
		Error:              &ignitev1.ExecutionError{Code: "APP_ERROR", Message: "the app answered 500"},
		ResponseStatusCode: 500, ResponseHeaders: map[string]string{"x-a": "1, 2"}, OutputChunks: 9,
		Metrics: &ignitev1.ExecutionMetrics{QueueMs: 1000, ColdStartMs: 2000, ExecutionMs: 3000, ResultSizeBytes: 11, ResourceTier: "Large"},
	}
	if got := publicExecution(record); !proto.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestWhatAnExecutionIsTowardsItsCaller(t *testing.T) {
	t.Parallel()
	last, due := &store.ExecutionError{Code: "POD_BROKEN"}, time.Unix(9, 0)
	for name, test := range map[string]struct {
		record store.Execution
		status ignitev1.ExecutionStatus
		dueMs  int64
		code   string
	}{
		"waits to begin":     {store.Execution{Status: store.Pending, NotBefore: due}, ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING, 9000, ""},
		"waits for a retry":  {store.Execution{Status: store.Pending, Attempt: 1, NotBefore: time.Unix(5, 0), DueAt: due, Error: last}, ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING, 9000, "POD_BROKEN"},
		"was handed back":    {store.Execution{Status: store.Pending, Attempt: 1, NotBefore: due}, ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING, 0, ""},
		"runs again":         {store.Execution{Status: store.Running, Attempt: 2, DueAt: due, Error: last}, ignitev1.ExecutionStatus_EXECUTION_STATUS_RUNNING, 0, ""},
		"completed at last":  {store.Execution{Status: store.Completed, Attempt: 2, DueAt: due, Error: last}, ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED, 0, ""},
		"timed out":          {store.Execution{Status: store.Timeout, Error: last}, ignitev1.ExecutionStatus_EXECUTION_STATUS_TIMEOUT, 0, "POD_BROKEN"},
		"cancelled, waiting": {store.Execution{Status: store.Cancelled, DueAt: due, Error: last}, ignitev1.ExecutionStatus_EXECUTION_STATUS_CANCELLED, 0, "POD_BROKEN"},
	} {
		got := publicExecution(test.record)
		if got.GetStatus() != test.status || got.GetDueAtMs() != test.dueMs || got.GetError().GetCode() != test.code {
			t.Errorf("one that %s is %v", name, got)
		}
		if got.GetMaxAttempts() != 1 {
			t.Errorf("without a policy it has %d attempts", got.GetMaxAttempts())
		}
	}
}

func TestWhoseExecutionsAreListed(t *testing.T) {
	t.Parallel()
	of := func(orgs ...string) caller {
		c := caller{Principal: auth.Principal{Orgs: map[string]string{}}}
		for _, org := range orgs {
			c.Orgs[org] = org + "-id"
		}
		return c
	}
	for _, test := range []struct {
		caller  caller
		org     string
		want    string
		refused bool
	}{
		{of("acme"), "", "acme", false}, {of("acme"), "other", "other", false}, {of("acme", "other"), "other", "other", false},
		{of("acme", "other"), "", "", true}, {of(), "", "", true},
	} {
		var v violations
		if got := v.ownerOf(test.caller, test.org); got != test.want || (v.err() != nil) != test.refused {
			t.Errorf("%q asked for by one of %v is %q, %v", test.org, test.caller.Orgs, got, v.err())
		}
	}
}
