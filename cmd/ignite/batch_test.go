package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func accepted(ids ...string) *ignitev1.InvokeAsyncBatchResponse {
	answer := &ignitev1.InvokeAsyncBatchResponse{}
	for _, id := range ids {
		result := &ignitev1.InvokeAsyncResult{ExecutionId: id}
		switch id {
		case "full":
			result = &ignitev1.InvokeAsyncResult{Error: &ignitev1.BatchError{
				Code: int32(codes.ResourceExhausted), Message: "the queue is full", RetryAfterMs: 1,
			}}
		case "taken":
			result = &ignitev1.InvokeAsyncResult{Error: &ignitev1.BatchError{Code: int32(codes.AlreadyExists), Message: "another request\nhas the key"}}
		}
		answer.Results = append(answer.Results, result)
	}
	return answer
}

// batches are the batches that a server was asked for, without keys that the client made up.
func batches(server *contractServer) []*ignitev1.InvokeAsyncBatchRequest {
	var found []*ignitev1.InvokeAsyncBatchRequest
	for _, request := range server.asked() {
		batch := proto.CloneOf(request.(*ignitev1.InvokeAsyncBatchRequest))
		for _, call := range batch.GetRequests() {
			if strings.HasPrefix(call.GetIdempotencyKey(), "ignite-") {
				call.IdempotencyKey = ""
			}
		}
		found = append(found, batch)
	}
	return found
}

func TestBatch(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("InvokeAsyncBatch", accepted("exec_1", "taken"), accepted("exec_3"))
	sh := newShell(t, server)
	sh.stdin = strings.NewReader(`{"http": {"method": "HTTP_METHOD_PUT", "path": "/x"}, "body": "YQ==", "idempotencyKey": "k", "delay": "5s"}

{"payload": {"name": "Ada"}, "retry": {"maxAttempts": 9}}
{"colour": "blue"}
{}`)
	r := sh.run("invoke", "acme:hello", "--batch", "-", "--delay", "1m", "--max-attempts", "2")
	if r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
	rows := strings.Split(r.stdout, "\n")
	wantText(t, strings.Join(rows[:3], "\n"), `LINE    EXECUTION                         ERROR
1       exec_1
3       -                                 another request has the key`)
	wantContains(t, rows[3], "4       -                                 the line is no call: ")
	wantContains(t, rows[3], `unknown field "colour"`)
	wantText(t, rows[4], "5       exec_3")
	wantText(t, r.stderr, "Error: 2 of 4 calls to acme:hello were refused\n")

	minute := durationpb.New(time.Minute)
	var asked []proto.Message
	for _, batch := range batches(server) {
		asked = append(asked, batch)
	}
	wantRequests(t, asked,
		&ignitev1.InvokeAsyncBatchRequest{OrganizationName: "acme", AppName: "hello", Requests: []*ignitev1.InvokeRequest{
			{
				Http: &ignitev1.HttpContext{Method: ignitev1.HttpMethod_HTTP_METHOD_PUT, Path: "/x"}, Body: []byte("a"),
				IdempotencyKey: "k", Delay: durationpb.New(5 * time.Second), Retry: &ignitev1.RetryPolicy{MaxAttempts: 2},
			},
			{
				Http: &ignitev1.HttpContext{HeaderFields: []*ignitev1.HeaderField{jsonContent()}}, Body: []byte(`{"name": "Ada"}`),
				Delay: minute, Retry: &ignitev1.RetryPolicy{MaxAttempts: 9},
			},
		}},
		&ignitev1.InvokeAsyncBatchRequest{OrganizationName: "acme", AppName: "hello", Requests: []*ignitev1.InvokeRequest{
			{Delay: minute, Retry: &ignitev1.RetryPolicy{MaxAttempts: 2}},
		}})
}

func TestBatchFormats(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("InvokeAsyncBatch", accepted("exec_1", "taken"))
	file := filepath.Join(t.TempDir(), "calls.jsonl")
	if err := os.WriteFile(file, []byte("{}\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newShell(t, server).run("invoke", "acme:hello", "--batch", file, "-o", "json")
	wantText(t, r.stdout, `{"line":1,"executionId":"exec_1"}
{"line":2,"error":{"code":6,"message":"another request\nhas the key"}}
`)
	if r.code != 6 { // the one reason that there is
		t.Errorf("exit code %d", r.code)
	}
	r = newShell(t, server).run("invoke", "acme:hello", "--batch", file, "-o", "yaml")
	wantContains(t, r.stdout, "---\nline: 1\nexecutionId: exec_1\n---\nline: 2\nerror:\n  code: 6\n")
}

func TestBatchOfThousands(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	const calls = 2*maxBatch + 1
	ids := make([]string, calls)
	for i := range ids {
		ids[i] = fmt.Sprintf("exec_%d", i+1)
	}
	server.on("InvokeAsyncBatch", accepted(ids[:maxBatch]...), accepted(ids[maxBatch:2*maxBatch]...), accepted(ids[2*maxBatch:]...))
	sh := newShell(t, server)
	sh.stdin = strings.NewReader(strings.Repeat("{}\n", calls))
	r := sh.succeeds("invoke", "acme:hello", "--batch", "-")
	wantText(t, r.stderr, "Submitted 2001 calls to acme:hello\n")
	if n := strings.Count(r.stdout, "exec_"); n != calls {
		t.Errorf("%d ids, want %d", n, calls)
	}
	keys := make(map[string]bool)
	for i, request := range server.asked() {
		batch := request.(*ignitev1.InvokeAsyncBatchRequest)
		if want := []int{maxBatch, maxBatch, 1}[i]; len(batch.GetRequests()) != want {
			t.Errorf("%d calls in request %d, want %d", len(batch.GetRequests()), i, want)
		}
		for _, call := range batch.GetRequests() {
			keys[call.GetIdempotencyKey()] = true
		}
	}
	if len(keys) != calls || keys[""] {
		t.Errorf("%d keys for %d calls", len(keys), calls)
	}
}

func TestBatchOfLargeCalls(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("InvokeAsyncBatch", accepted("exec_1"), accepted("exec_2"))
	sh := newShell(t, server)
	large := `{"payload": "` + strings.Repeat("x", maxBatchBytes*2/3) + "\"}\n"
	sh.stdin = strings.NewReader(large + large)
	sh.succeeds("invoke", "acme:hello", "--batch", "-")
	if n := len(server.asked()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// Calls that the server has no room for now are submitted again alone, under the keys that they had.
func TestBatchRepeatsWhatWasRefusedForNow(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("InvokeAsyncBatch", status.Error(codes.Unavailable, "away"),
		accepted("exec_1", "full", "taken", "full"), accepted("exec_2", "full"), accepted("exec_4"))
	sh := newShell(t, server)
	sh.stdin = strings.NewReader("{}\n{}\n{}\n{}\n")
	r := sh.run("invoke", "acme:hello", "--batch", "-")
	for _, row := range []string{"\n1       exec_1\n", "\n2       exec_2\n", "\n3       -  ", "\n4       exec_4\n"} {
		wantContains(t, r.stdout, row)
	}
	asked := server.asked()
	key := func(request, call int) string {
		return asked[request].(*ignitev1.InvokeAsyncBatchRequest).GetRequests()[call].GetIdempotencyKey()
	}
	if len(asked) != 4 || key(0, 0) != key(1, 0) || key(2, 0) != key(1, 1) || key(3, 0) != key(1, 3) {
		t.Errorf("%d requests: %v", len(asked), asked)
	}
}

func TestBatchTellsWhatWasSubmittedBeforeItFailed(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("InvokeAsyncBatch", accepted("exec_1", "full"), status.Error(codes.PermissionDenied, "the token lacks the scope"))
	sh := newShell(t, server)
	sh.stdin = strings.NewReader("{}\n{}\n")
	r := sh.run("invoke", "acme:hello", "--batch", "-")
	if r.code != 4 {
		t.Errorf("exit code %d", r.code)
	}
	wantContains(t, r.stdout, "1       exec_1\n2       -                                 the queue is full\n")
	wantContains(t, r.stderr, "Error: submit lines 1 to 2 to acme:hello: the token lacks the scope\n")

	server.on("InvokeAsyncBatch", accepted("exec_1"))
	sh.stdin = strings.NewReader("{}\n{}\n")
	wantContains(t, sh.run("invoke", "acme:hello", "--batch", "-").stderr, "the server answered 1 results for 2 calls")
}

func TestParseCall(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`[]`:                               "the line is no JSON object",
		`null`:                             "the line is no call",
		`{"body": "!"}`:                    "the line is no call",
		`{"payload": 1, "body": "YQ=="}`:   "the line has body and payload: give one of them",
		`{"payload": 1, "colour": "blue"}`: `unknown field "colour"`,
	} {
		if _, err := parseCall([]byte(line), nil); err == nil {
			t.Errorf("%s is taken", line)
		} else {
			wantContains(t, err.Error(), want)
		}
	}
	for _, line := range []string{
		`{"payload": "text", "http": {"headers": {"Content-Type": "application/x"}}}`,
		`{"payload": "text", "http": {"headerFields": [{"name": "Content-Type", "value": "application/x"}]}}`,
	} {
		call, err := parseCall([]byte(line), nil)
		if err != nil || string(call.GetBody()) != `"text"` || len(call.GetHttp().GetHeaders())+len(call.GetHttp().GetHeaderFields()) != 1 {
			t.Errorf("%s is %v, %v", line, call, err)
		}
	}
}
