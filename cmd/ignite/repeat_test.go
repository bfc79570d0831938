package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// refusal is an error that says when to try again.
func refusal(t *testing.T, code codes.Code, after time.Duration) error {
	t.Helper()
	s, err := status.New(code, "come again").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	away := status.Error(codes.Unavailable, "away for a moment")
	full := status.Error(codes.ResourceExhausted, "the body is too large")
	soon := refusal(t, codes.ResourceExhausted, time.Millisecond)
	late := refusal(t, codes.Unavailable, time.Hour)
	for name, test := range map[string]struct {
		line, method string
		answers      []any
		code, asked  int
	}{
		"a read":                             {"execution get exec_1", "GetExecution", []any{away, away, &ignitev1.GetExecutionResponse{}}, 0, 3},
		"a read of a server that stays away": {"execution list", "ListExecutions", []any{away}, 9, 1 + unhintedRepeats},
		"a read that is refused for now":     {"execution list", "ListExecutions", []any{soon, soon, &ignitev1.ListExecutionsResponse{}}, 0, 3},
		"a read that is always refused":      {"execution list", "ListExecutions", []any{soon}, 7, 1 + hintedRepeats},
		"a refusal for good":                 {"execution list", "ListExecutions", []any{full}, 7, 1},
		"a refusal for long":                 {"execution list", "ListExecutions", []any{late}, 9, 1},
		"a submission":                       {"invoke a:b --async", "InvokeAsync", []any{soon, away, &ignitev1.InvokeAsyncResponse{}}, 0, 3},
		"a cancellation":                     {"execution cancel exec_1", "CancelExecution", []any{away, &ignitev1.CancelExecutionResponse{}}, 0, 2},
		"a redrive":                          {"execution redrive exec_1", "RedriveExecution", []any{away, &ignitev1.RedriveExecutionResponse{}}, 0, 2},
		"a write":                            {"version rollback a:b", "RollbackApp", []any{soon}, 7, 1},
		"a write to a server that is away":   {"app delete a:b", "DeleteApp", []any{away}, 9, 1},
		"a purge":                            {"execution purge exec_1", "PurgeDeadLetters", []any{away}, 9, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t)
			server.on(test.method, test.answers...)
			r := newShell(t, server).run(strings.Fields(test.line)...)
			if r.code != test.code {
				t.Errorf("exit code %d, want %d: %s", r.code, test.code, r.stderr)
			}
			if n := len(server.asked()); n != test.asked {
				t.Errorf("%d requests, want %d", n, test.asked)
			}
		})
	}
}

// The key is what makes a submission safe to repeat, so it must be the same each time, and another for another submission.
func TestASubmissionIsRepeatedUnderOneKey(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	sh := newShell(t, server)
	for range 2 {
		server.on("InvokeAsync", status.Error(codes.Unavailable, "away"), &ignitev1.InvokeAsyncResponse{ExecutionId: "exec_1"})
		wantText(t, sh.succeeds("invoke", "acme:hello", "--async").stdout, "exec_1\n")
	}
	asked := server.asked()
	key := func(i int) string { return asked[i].(*ignitev1.InvokeRequest).GetIdempotencyKey() }
	if len(asked) != 4 || key(0) == "" || key(0) != key(1) || key(2) != key(3) || key(0) == key(2) {
		t.Errorf("the keys are %q, %q, %q, %q", key(0), key(1), key(2), key(3))
	}
}

func TestSafeToRepeat(t *testing.T) {
	t.Parallel()
	batch := func(keys ...string) *ignitev1.InvokeAsyncBatchRequest {
		request := &ignitev1.InvokeAsyncBatchRequest{}
		for _, key := range keys {
			request.Requests = append(request.Requests, &ignitev1.InvokeRequest{IdempotencyKey: key})
		}
		return request
	}
	for _, test := range []struct {
		method  string
		request proto.Message
		safe    bool
	}{
		{ignitev1.ComputeService_GetApp_FullMethodName, &ignitev1.GetAppRequest{}, true},
		{ignitev1.ComputeService_PublishDraft_FullMethodName, &ignitev1.PublishDraftRequest{}, false},
		{ignitev1.ComputeService_InvokeAsync_FullMethodName, &ignitev1.InvokeRequest{}, false},
		{ignitev1.ComputeService_InvokeAsync_FullMethodName, &ignitev1.InvokeRequest{IdempotencyKey: "k"}, true},
		{ignitev1.ComputeService_InvokeAsyncBatch_FullMethodName, batch("a", "b"), true},
		{ignitev1.ComputeService_InvokeAsyncBatch_FullMethodName, batch("a", ""), false},
	} {
		if safe := safeToRepeat(test.method, test.request); safe != test.safe {
			t.Errorf("%s %v: %t", test.method, test.request, safe)
		}
	}
}

func TestALongPauseIsTold(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("ListExecutions", refusal(t, codes.ResourceExhausted, time.Second), &ignitev1.ListExecutionsResponse{})
	r := newShell(t, server).succeeds("execution", "list")
	wantContains(t, r.stderr, "Trying again in 1")
	wantContains(t, r.stderr, ": come again\n")

	server.on("ListExecutions", refusal(t, codes.ResourceExhausted, 20*time.Second))
	if r := newShell(t, server).run("execution", "list", "--timeout", "10s"); r.code != 7 { // it would not live to see the answer
		t.Errorf("exit code %d", r.code)
	}
}
