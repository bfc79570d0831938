package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

type watchStream = grpc.ServerStreamingServer[ignitev1.WatchExecutionResponse]

const (
	pending   = ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING
	running   = ignitev1.ExecutionStatus_EXECUTION_STATUS_RUNNING
	completed = ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED
	failed    = ignitev1.ExecutionStatus_EXECUTION_STATUS_FAILED
	timeout   = ignitev1.ExecutionStatus_EXECUTION_STATUS_TIMEOUT
	cancelled = ignitev1.ExecutionStatus_EXECUTION_STATUS_CANCELLED
)

func record(state ignitev1.ExecutionStatus, result string) *ignitev1.WatchExecutionResponse {
	execution := &ignitev1.Execution{Id: "exec_1", Status: state, Result: []byte(result)}
	switch state {
	case completed:
		execution.Metrics = &ignitev1.ExecutionMetrics{ExecutionMs: 142}
	case failed:
		execution.Error = &ignitev1.ExecutionError{Code: "APP_ERROR", Message: "the app answered 500"}
	case cancelled:
		execution.Error = &ignitev1.ExecutionError{Code: "CANCELLED", Message: "mistake"}
	}
	return &ignitev1.WatchExecutionResponse{Execution: execution}
}

// waiting is a record whose first attempt failed and will be repeated.
func waiting() *ignitev1.WatchExecutionResponse {
	frame := record(pending, "")
	frame.Execution.Attempt, frame.Execution.DueAtMs = 1, 1716900000000
	frame.Execution.Error = &ignitev1.ExecutionError{Code: "APP_ERROR", Message: "the app answered 503"}
	return frame
}

// streamed is the record of an execution that sent chunks of output and completed.
func streamed(chunks int64) *ignitev1.WatchExecutionResponse {
	frame := record(completed, "abc")
	frame.Execution.OutputChunks = chunks
	return frame
}

func output(attempt uint32, index int64, data string) *ignitev1.WatchExecutionResponse {
	return &ignitev1.WatchExecutionResponse{OutputChunk: []byte(data), ChunkIndex: index, Attempt: attempt}
}

func beginning(attempt uint32) *ignitev1.WatchExecutionResponse {
	return &ignitev1.WatchExecutionResponse{Attempt: attempt, NewAttempt: true}
}

// showing sends frames, and then end.
func showing(end error, frames ...*ignitev1.WatchExecutionResponse) func(*ignitev1.WatchExecutionRequest, watchStream) error {
	return func(_ *ignitev1.WatchExecutionRequest, stream watchStream) error {
		for _, frame := range frames {
			if err := stream.Send(frame); err != nil {
				return err
			}
		}
		return end
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		frames         []*ignitev1.WatchExecutionResponse
		code           int
		stdout, stderr string
	}{
		"a result": {
			[]*ignitev1.WatchExecutionResponse{record(pending, ""), record(running, ""), record(completed, `{"ok":true}`)},
			0, `{"ok":true}`, "exec_1 COMPLETED in 142ms\n",
		},
		"output, which is not printed again as the result": {
			[]*ignitev1.WatchExecutionResponse{record(running, ""), output(1, 0, "a"), output(1, 1, "b"), record(completed, "ab")},
			0, "ab", "exec_1 COMPLETED in 142ms\n",
		},
		"a failure": {
			[]*ignitev1.WatchExecutionResponse{record(failed, `{"error":"boom"}`)},
			1, `{"error":"boom"}`, "exec_1 FAILED\nError: APP_ERROR: the app answered 500\n",
		},
		"a timeout": {
			[]*ignitev1.WatchExecutionResponse{record(timeout, "")},
			1, "", "exec_1 TIMEOUT\nError: execution exec_1 ended TIMEOUT\n",
		},
		"a second attempt": {
			[]*ignitev1.WatchExecutionResponse{
				output(1, 0, "lost"), beginning(2), output(2, 0, "x"), output(1, 1, "late"), output(2, 1, "y"), record(completed, ""),
			},
			0, "lostxy", "Attempt 2 begins; what was printed so far is attempt 1's\nexec_1 COMPLETED in 142ms\n",
		},
		"a failed attempt that printed nothing": {
			[]*ignitev1.WatchExecutionResponse{
				waiting(), beginning(2), record(running, ""), {Heartbeat: true}, record(completed, "done"),
			},
			0, "done", "Attempt 1 ended: APP_ERROR: the app answered 503; the next begins at 2024-05-28T12:40:00Z\nAttempt 2 begins\nexec_1 COMPLETED in 142ms\n",
		},
		"a second attempt that nobody announced": {
			[]*ignitev1.WatchExecutionResponse{output(1, 0, "a"), output(2, 0, "x"), record(completed, "")},
			0, "ax", "Attempt 2 begins; what was printed so far is attempt 1's\nexec_1 COMPLETED in 142ms\n",
		},
		"a second attempt that does not stream": {
			[]*ignitev1.WatchExecutionResponse{output(1, 0, "lost"), beginning(2), record(completed, "whole")},
			0, "lostwhole", "Attempt 2 begins; what was printed so far is attempt 1's\nexec_1 COMPLETED in 142ms\n",
		},
		"a cancellation": {
			[]*ignitev1.WatchExecutionResponse{record(running, ""), output(1, 0, "a"), record(cancelled, "")},
			1, "a", "exec_1 CANCELLED\nError: CANCELLED: mistake\n",
		},
		"output whose end is gone": {
			[]*ignitev1.WatchExecutionResponse{output(1, 0, "a"), streamed(3)},
			0, "a", "Warning: chunks 1 to 2 are no longer kept\nexec_1 COMPLETED in 142ms\n",
		},
		"output that is all gone, but for the result": {
			[]*ignitev1.WatchExecutionResponse{streamed(3)},
			0, "abc", "exec_1 COMPLETED in 142ms\n",
		},
		"output that is gone": {
			[]*ignitev1.WatchExecutionResponse{output(1, 5, "f"), record(completed, "")},
			0, "f", "Warning: chunks 0 to 4 are no longer kept\nexec_1 COMPLETED in 142ms\n",
		},
		"a server that stops": {
			[]*ignitev1.WatchExecutionResponse{record(running, "")},
			1, "", "Error: watch execution exec_1: the server stopped telling before the execution ended\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t)
			server.watch = showing(nil, test.frames...)
			r := newShell(t, server).run("execution", "watch", "exec_1")
			if r.code != test.code {
				t.Errorf("exit code %d, want %d", r.code, test.code)
			}
			wantText(t, r.stdout, test.stdout)
			wantText(t, r.stderr, test.stderr)
		})
	}
}

func TestWatchFormats(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.watch = showing(nil, record(running, ""), output(1, 0, "a"), record(completed, "a"))
	sh := newShell(t, server)
	wantText(t, sh.succeeds("execution", "watch", "exec_1", "-o", "json").stdout,
		`{"execution":{"id":"exec_1","status":"EXECUTION_STATUS_RUNNING"}}
{"outputChunk":"YQ==","attempt":1}
{"execution":{"id":"exec_1","status":"EXECUTION_STATUS_COMPLETED","result":"YQ==","metrics":{"executionMs":"142"}}}
`)
	wantContains(t, sh.succeeds("execution", "watch", "exec_1", "-o", "yaml").stdout, "---\noutputChunk: YQ==\nattempt: 1\n---\n")
}

// The server has the chunks of two attempts, breaks off in each, and once cannot be reached at all.
func TestWatchGoesOnWhereTheConnectionBroke(t *testing.T) {
	t.Parallel()
	away := status.Error(codes.Unavailable, "the server restarts")
	reset := status.Error(codes.Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR")
	for _, format := range []string{"table", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			server := startServer(t)
			var times atomic.Int32
			server.watch = func(request *ignitev1.WatchExecutionRequest, stream watchStream) error {
				switch times.Add(1) {
				case 1:
					return showing(away, record(running, ""), output(1, 0, "a"), output(1, 1, "b"))(request, stream)
				case 2:
					return away
				case 3: // what was printed already must not be printed again even by a server that sends it again
					return showing(reset, record(running, ""), output(1, 1, "b"), output(1, 2, "c"), beginning(2))(request, stream)
				}
				return showing(nil, record(running, ""), output(2, 0, "x"), record(completed, ""))(request, stream)
			}
			r := newShell(t, server).succeeds("execution", "watch", "exec_1", "-o", format)
			from := func(attempt uint32, chunk int64) *ignitev1.WatchExecutionRequest {
				return &ignitev1.WatchExecutionRequest{ExecutionId: "exec_1", FromAttempt: attempt, FromChunk: chunk, Heartbeats: true}
			}
			wantRequests(t, server.asked(), from(0, 0), from(1, 2), from(1, 2), from(2, 0))
			if format == "table" {
				wantText(t, r.stdout, "abcx")
				return
			}
			wantText(t, r.stdout, `{"execution":{"id":"exec_1","status":"EXECUTION_STATUS_RUNNING"}}
{"outputChunk":"YQ==","attempt":1}
{"outputChunk":"Yg==","chunkIndex":"1","attempt":1}
{"outputChunk":"Yw==","chunkIndex":"2","attempt":1}
{"attempt":2,"newAttempt":true}
{"outputChunk":"eA==","attempt":2}
{"execution":{"id":"exec_1","status":"EXECUTION_STATUS_COMPLETED","metrics":{"executionMs":"142"}}}
`)
		})
	}
}

func TestWatchFromAChunk(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.watch = showing(nil, record(running, ""), output(3, 7, "h"), output(3, 8, "i"), streamed(9))
	sh := newShell(t, server)
	r := sh.succeeds("execution", "watch", "exec_1", "--from-chunk", "7")
	wantText(t, r.stdout, "hi")
	wantText(t, r.stderr, "exec_1 COMPLETED in 142ms\n")
	sh.succeeds("execution", "watch", "exec_1", "--from-chunk", "7", "--from-attempt", "3")
	wantRequests(t, server.asked(),
		&ignitev1.WatchExecutionRequest{ExecutionId: "exec_1", FromChunk: 7, Heartbeats: true},
		&ignitev1.WatchExecutionRequest{ExecutionId: "exec_1", FromChunk: 7, FromAttempt: 3, Heartbeats: true})

	server.watch = showing(nil, streamed(7)) // nothing came since
	wantText(t, sh.succeeds("execution", "watch", "exec_1", "--from-chunk", "7", "--from-attempt", "3").stdout, "")

	server.watch = showing(nil, record(completed, "whole")) // it never streamed
	wantText(t, sh.succeeds("execution", "watch", "exec_1", "--from-chunk", "7").stdout, "whole")
}

func TestInterruptedWatchSaysWhereToGoOn(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	ctx, interrupt := context.WithCancel(t.Context())
	stdout := newTranscript()
	server.watch = func(_ *ignitev1.WatchExecutionRequest, stream watchStream) error {
		if err := stream.Send(output(2, 4, "e")); err != nil {
			return err
		}
		if err := stdout.await(stream.Context(), "e"); err != nil {
			return err
		}
		interrupt()
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	sh := newShell(t, server)
	sh.stdout = stdout
	r := sh.runContext(ctx, "execution", "watch", "exec_1", "--from-chunk", "4")
	wantContains(t, r.stderr, "follow it again with `ignite execution watch exec_1 --from-chunk 5 --from-attempt 2`.")
}

func TestWatchOfAnUnknownExecution(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.watch = showing(status.Error(codes.NotFound, "there is no execution exec_1"))
	r := newShell(t, server).run("execution", "watch", "exec_1")
	if r.code != 5 {
		t.Errorf("exit code %d, want 5", r.code)
	}
	wantText(t, r.stderr, "Error: watch execution exec_1: there is no execution exec_1\n")
}

func TestInvokeAndWatch(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("InvokeAsync", &ignitev1.InvokeAsyncResponse{ExecutionId: "exec_1"})
	stdout := newTranscript()
	server.watch = func(_ *ignitev1.WatchExecutionRequest, stream watchStream) error {
		for i, part := range []string{"one ", "two "} {
			if err := stream.Send(output(1, int64(i), part)); err != nil {
				return err
			}
			if err := stdout.await(stream.Context(), part); err != nil { // the next part comes only after this one was printed
				return err
			}
		}
		return stream.Send(record(completed, "one two "))
	}
	sh := newShell(t, server)
	sh.stdout = stdout
	r := sh.succeeds("invoke", "acme:hello", "--async", "--watch", "-p", "x")
	wantText(t, stdout.String(), "one two ")
	wantText(t, r.stderr, "Submitted exec_1\nexec_1 COMPLETED in 142ms\n")
	wantRequests(t, server.asked(),
		&ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Http: &ignitev1.HttpContext{}, Body: []byte("x")},
		&ignitev1.WatchExecutionRequest{ExecutionId: "exec_1", Heartbeats: true})
}

func TestInterruptLeavesTheExecutionRunning(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	ctx, interrupt := context.WithCancel(t.Context())
	server.watch = func(_ *ignitev1.WatchExecutionRequest, stream watchStream) error {
		interrupt()
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	r := newShell(t, server).runContext(ctx, "execution", "watch", "exec_1")
	if r.code != exitInterrupted {
		t.Errorf("exit code %d, want %d", r.code, exitInterrupted)
	}
	if !strings.HasPrefix(r.stderr, "The execution goes on; follow it again with `ignite execution watch exec_1`.") {
		t.Errorf("stderr is %q", r.stderr)
	}
}
