package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func redriven(more bool, pairs ...string) *ignitev1.RedriveExecutionsResponse {
	answer := &ignitev1.RedriveExecutionsResponse{More: more}
	for _, pair := range pairs {
		old, made, _ := strings.Cut(pair, ">")
		result := &ignitev1.RedriveResult{ExecutionId: old, NewExecutionId: made}
		if made == "" {
			result.Error = &ignitev1.BatchError{Code: int32(codes.ResourceExhausted), Message: "the queue is full"}
		}
		answer.Results = append(answer.Results, result)
	}
	return answer
}

func TestRedriveOne(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("RedriveExecution", &ignitev1.RedriveExecutionResponse{ExecutionId: "exec_2"})
	wantText(t, newShell(t, server).succeeds("execution", "redrive", "exec_1").stdout, "exec_2\n")
}

func TestRedriveByFilterGoesOnUntilNoneIsLeft(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("RedriveExecutions", redriven(true, "exec_1>exec_8"), redriven(false, "exec_2>exec_9"))
	before := time.Now()
	r := newShell(t, server).succeeds("execution", "redrive", "--org", "acme", "--app", "hello", "--yes")
	wantText(t, r.stdout, "DEAD LETTER   EXECUTION   ERROR\nexec_1        exec_8\nexec_2        exec_9\n")
	asked := server.asked()
	if len(asked) != 2 {
		t.Fatalf("%d requests, want 2", len(asked))
	}
	for _, request := range asked { // what was made of the first is not redriven by the second, should it fail again at once
		to := request.(*ignitev1.RedriveExecutionsRequest).GetFilter().GetTo().AsTime()
		if to.Before(before) || to.After(time.Now()) {
			t.Errorf("it redrives what was submitted before %s", to)
		}
	}
}

func TestRedriveStopsAtARefusal(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("RedriveExecutions", redriven(true, "exec_1>exec_8", "exec_2>", "exec_3>"))
	r := newShell(t, server).run("execution", "redrive", "--app", "hello", "--yes")
	if r.code != 7 || len(server.asked()) != 1 {
		t.Errorf("exit code %d after %d requests", r.code, len(server.asked()))
	}
	wantText(t, r.stdout, "DEAD LETTER   EXECUTION   ERROR\nexec_1        exec_8\nexec_2        -           the queue is full\nexec_3        -           the queue is full\n")
	wantText(t, r.stderr, "Error: 2 of 3 dead letters were not redriven; the first: the queue is full\n")
}

func TestRedriveTellsWhatWasDoneBeforeItFailed(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("RedriveExecutions", redriven(true, "exec_1>exec_8"), status.Error(codes.Unavailable, "away"))
	r := newShell(t, server).run("execution", "redrive", "--app", "hello", "--yes", "-o", "json")
	if r.code != 9 {
		t.Errorf("exit code %d", r.code)
	}
	wantContains(t, r.stdout, `"newExecutionId": "exec_8"`)
}

func TestRedriveKeepsItsLimit(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("RedriveExecutions", redriven(true, "exec_1>exec_8", "exec_2>exec_9"), redriven(true, "exec_3>exec_10"))
	newShell(t, server).succeeds("execution", "redrive", "--until", "2026-11-23T00:00:00Z", "--limit", "3", "--yes")
	filter := &ignitev1.ExecutionFilter{To: timestamppb.New(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))}
	wantRequests(t, server.asked(),
		&ignitev1.RedriveExecutionsRequest{Filter: filter, Limit: 3},
		&ignitev1.RedriveExecutionsRequest{Filter: filter, Limit: 1})
}

func TestConfirmation(t *testing.T) {
	t.Parallel()
	const question = "Purge 2 dead letters, submitted from 2024-05-28T12:40:00Z to 2024-05-28T12:40:00Z? [y/N] "
	for name, test := range map[string]struct {
		answer         string
		found          *ignitev1.ListExecutionsResponse
		args           string
		code, asked    int
		stdout, stderr string
	}{
		"yes":        {"yes\n", page("", "exec_2", "exec_1"), "", 0, 2, "Purged 2 dead letters\n", question},
		"y":          {"Y", page("", "exec_2", "exec_1"), "", 0, 2, "Purged 2 dead letters\n", question},
		"no":         {"n\n", page("", "exec_2", "exec_1"), "", 2, 1, "", question + "Error: nothing was done: answer y, or give --yes\n"},
		"nobody":     {"", page("", "exec_2", "exec_1"), "", 2, 1, "", question + "Error: nothing was done: answer y, or give --yes\n"},
		"none":       {"", page(""), "", 0, 1, "", "There are no such dead letters\n"},
		"many":       {"y\n", page("more", "exec_2", "exec_1"), "--limit 2", 0, 2, "Purged 2 dead letters\n", question},
		"not asked":  {"", page("", "exec_2"), "--yes", 0, 1, "Purged 2 dead letters\n", ""},
		"with words": {"yes please\n", page("", "exec_2", "exec_1"), "", 2, 1, "", question + "Error: nothing was done: answer y, or give --yes\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t)
			server.on("ListExecutions", test.found)
			server.on("PurgeDeadLetters", &ignitev1.PurgeDeadLettersResponse{Purged: 2})
			sh := newShell(t, server)
			sh.stdin = strings.NewReader(test.answer)
			r := sh.run(append([]string{"execution", "purge", "--app", "hello"}, strings.Fields(test.args)...)...)
			if r.code != test.code || len(server.asked()) != test.asked {
				t.Errorf("exit code %d after %d requests, want %d after %d", r.code, len(server.asked()), test.code, test.asked)
			}
			wantText(t, r.stdout, test.stdout)
			wantText(t, r.stderr, test.stderr)
		})
	}
}

// What the user is asked about is what is then done.
func TestTheQuestionIsAboutTheSameDeadLetters(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("ListExecutions", page("", "exec_1"))
	server.on("RedriveExecutions", redriven(false, "exec_1>exec_2"))
	sh := newShell(t, server)
	sh.stdin = strings.NewReader("y\n")
	sh.succeeds("execution", "redrive", "--org", "acme", "--app", "hello", "--status", "failed", "--since", "1h")
	asked := server.asked()
	list, redrive := asked[0].(*ignitev1.ListExecutionsRequest), asked[1].(*ignitev1.RedriveExecutionsRequest)
	if want := listRequest(redrive.GetFilter(), true); !sameFilter(list, want) {
		t.Errorf("asked about %v, done to %v", list, redrive)
	}
}

func sameFilter(a, b *ignitev1.ListExecutionsRequest) bool {
	a = proto.CloneOf(a)
	a.Limit = b.Limit
	return proto.Equal(a, b)
}

func TestAQuestionOfManyPages(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	ids := make([]string, maxPage)
	for i := range ids {
		ids[i] = "exec_1"
	}
	server.on("ListExecutions", page("more", ids...))
	r := newShell(t, server).run("execution", "redrive", "--app", "hello")
	wantContains(t, r.stderr, "Redrive more than 1000 dead letters, ")
}

func TestPurgeGoesOnUntilNoneIsLeft(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("PurgeDeadLetters", &ignitev1.PurgeDeadLettersResponse{Purged: 1000, More: true}, &ignitev1.PurgeDeadLettersResponse{Purged: 7})
	wantText(t, newShell(t, server).succeeds("execution", "purge", "--app", "hello", "-y").stdout, "Purged 1007 dead letters\n")

	server.on("PurgeDeadLetters", &ignitev1.PurgeDeadLettersResponse{Purged: 1000, More: true}, status.Error(codes.Unavailable, "away"))
	r := newShell(t, server).run("execution", "purge", "--app", "hello", "-y")
	if r.code != 9 {
		t.Errorf("exit code %d", r.code)
	}
	wantText(t, r.stdout, "Purged 1000 dead letters\n")
}

func TestInterruptAtTheQuestion(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("ListExecutions", page("", "exec_1"))
	ctx, interrupt := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	sh := newShell(t, server)
	sh.stdin = readerFunc(func(p []byte) (int, error) {
		interrupt()
		return reader.Read(p)
	})
	if r := sh.runContext(ctx, "execution", "purge", "--app", "hello"); r.code != exitInterrupted {
		t.Errorf("exit code %d, want %d", r.code, exitInterrupted)
	}
}
