package main

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func read(state ignitev1.ExecutionStatus, etag string) *ignitev1.GetExecutionResponse {
	return &ignitev1.GetExecutionResponse{Execution: record(state, "").GetExecution(), Etag: etag}
}

func TestGetWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetExecution", read(pending, "1"), read(running, "2"), read(completed, "3"))
	r := newShell(t, server).succeeds("execution", "get", "exec_1", "--wait", "5m")
	wantContains(t, r.stdout, "COMPLETED")
	asked := server.asked()
	if len(asked) != 3 {
		t.Fatalf("%d requests, want 3", len(asked))
	}
	wantRequests(t, asked, &ignitev1.GetExecutionRequest{ExecutionId: "exec_1"},
		&ignitev1.GetExecutionRequest{ExecutionId: "exec_1", Etag: "1", Wait: durationpb.New(time.Minute)},
		&ignitev1.GetExecutionRequest{ExecutionId: "exec_1", Etag: "2", Wait: durationpb.New(time.Minute)})
}

func TestGetAnswersWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetExecution", read(running, "1"))
	r := newShell(t, server).succeeds("execution", "get", "exec_1", "--wait", "30ms")
	wantContains(t, r.stdout, "RUNNING")
	second := server.asked()[1].(*ignitev1.GetExecutionRequest)
	if wait := second.GetWait().AsDuration(); wait <= 0 || wait > 30*time.Millisecond {
		t.Errorf("the server was asked to wait %s", wait)
	}
}

func TestGetWaitsThroughARestart(t *testing.T) {
	t.Parallel()
	away := status.Error(codes.Unavailable, "the server restarts")
	server := startServer(t)
	server.on("GetExecution", read(running, "1"), away, away, away, away, away, read(failed, "2"))
	r := newShell(t, server).succeeds("execution", "get", "exec_1", "--wait", "1m")
	wantContains(t, r.stdout, "FAILED")

	server.on("GetExecution", away)
	if r := newShell(t, server).run("execution", "get", "exec_1", "--wait", "1m"); r.code != 9 {
		t.Errorf("exit code %d for a server that was never there", r.code)
	}
}

func TestInvokeAndWait(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end    *ignitev1.GetExecutionResponse
		code   int
		stderr string
	}{
		"completed": {read(completed, "1"), 0, "Submitted exec_1\n"},
		"failed":    {read(failed, "1"), 1, "Submitted exec_1\nError: APP_ERROR: the app answered 500\n"},
		"not yet":   {read(running, "1"), 8, "Submitted exec_1\nError: execution exec_1 has not ended within 30ms; it goes on\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t)
			server.on("InvokeAsync", &ignitev1.InvokeAsyncResponse{ExecutionId: "exec_1"})
			server.on("GetExecution", test.end)
			r := newShell(t, server).run("invoke", "acme:hello", "--wait", "30ms")
			if r.code != test.code {
				t.Errorf("exit code %d, want %d", r.code, test.code)
			}
			wantText(t, r.stderr, test.stderr)
			wantContains(t, r.stdout, statusText(test.end.GetExecution()))
		})
	}
}
