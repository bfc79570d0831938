package main

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// fetching is answering for stored responses.
func fetching(end error, frames ...*ignitev1.InvokeResponse) func(*ignitev1.FetchResponseRequest, invokeStream) error {
	return func(_ *ignitev1.FetchResponseRequest, stream invokeStream) error {
		return answering(end, frames...)(nil, stream)
	}
}

func TestResponse(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.fetch = fetching(nil, head(500), chunk("\x00one "), chunk("two"), trailer(8))
	sh := newShell(t, server)
	r := sh.succeeds("execution", "response", "exec_1") // it could be read: that is what was asked
	wantText(t, r.stdout, "\x00one two")
	wantText(t, r.stderr, "")
	wantRequests(t, server.asked(), &ignitev1.FetchResponseRequest{ExecutionId: "exec_1"})

	file := filepath.Join(t.TempDir(), "body")
	wantText(t, sh.succeeds("execution", "response", "exec_1", "--file", file).stdout, "")
	if content, err := os.ReadFile(file); err != nil || string(content) != "\x00one two" {
		t.Errorf("the file holds %q, %v", content, err)
	}
	wantContains(t, sh.succeeds("execution", "response", "exec_1", "-i").stderr, "HTTP 500 Internal Server Error\ncontent-type: text/plain; a=b\n")
	wantText(t, sh.succeeds("execution", "response", "exec_1", "--head").stdout, "HTTP 500 Internal Server Error\ncontent-type: text/plain; a=b\n")
	wantContains(t, sh.succeeds("execution", "response", "exec_1", "--head", "-o", "json").stdout, `"statusCode": 500`)
}

func TestResponseThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	sh := newShell(t, server)
	for code, test := range map[int]struct {
		fetch  func(*ignitev1.FetchResponseRequest, invokeStream) error
		stderr string
	}{
		1: {fetching(status.Error(codes.FailedPrecondition, "it runs")), "Error: get the response of execution exec_1: it runs\n"},
		5: {fetching(status.Error(codes.NotFound, "no such execution")), "Error: get the response of execution exec_1: no such execution\n"},
		9: {fetching(status.Error(codes.Unavailable, "away"), head(200), chunk("half")), "Error: get the response of execution exec_1: away\n"},
	} {
		server.fetch = test.fetch
		r := sh.run("execution", "response", "exec_1")
		if r.code != code {
			t.Errorf("exit code %d, want %d", r.code, code)
		}
		wantText(t, r.stderr, test.stderr)
	}
	server.fetch = fetching(nil)
	wantContains(t, sh.run("execution", "response", "exec_1").stderr, "the server sent nothing")
	server.fetch = fetching(nil, head(200))
	wantContains(t, sh.run("execution", "response", "exec_1").stderr, "it may be incomplete")
}

func TestResponseIsAskedForAgainBeforeItBegins(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	var times atomic.Int32
	server.fetch = func(request *ignitev1.FetchResponseRequest, stream invokeStream) error {
		if times.Add(1) < 3 {
			return status.Error(codes.Unavailable, "away")
		}
		return fetching(nil, head(200), chunk("x"), trailer(1))(request, stream)
	}
	wantText(t, newShell(t, server).succeeds("execution", "response", "exec_1").stdout, "x")
}
