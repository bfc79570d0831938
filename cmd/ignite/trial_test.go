package main

import (
	"strings"
	"testing"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func TestTrial(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("TestDraft", &ignitev1.TestDraftResponse{Result: &ignitev1.TestResult{
		StatusCode: 201, Body: []byte("the body"), DurationMs: 34, ColdStartMs: 20, LogLines: []string{"begun", "done"},
	}})
	got := newShell(t, server).succeeds("draft", "test", "acme:hello", "--payload", "{}")
	if strings.TrimSuffix(got.stdout, "\n") != "the body" {
		t.Errorf("it printed %q", got.stdout)
	}
	for _, want := range []string{"log: begun", "log: done", "201 Created in 34ms, of which the start took 20ms"} {
		wantContains(t, got.stderr, want)
	}
	sent := server.asked()[0].(*ignitev1.TestDraftRequest)
	if string(sent.GetBody()) != "{}" || sent.GetHttp().GetHeaderFields()[0].GetValue() != "application/json" {
		t.Errorf("it sent %v", sent)
	}
	wantContains(t, newShell(t, server).succeeds("draft", "test", "acme:hello", "-o", "json").stdout, `"logLines"`)
}

func TestTrialThatFails(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("TestAppVersion",
		&ignitev1.TestAppVersionResponse{Result: &ignitev1.TestResult{
			LogLines: []string{"no module named x"}, Error: &ignitev1.ExecutionError{Code: "POD_START_FAILED", Message: "exit status 1"},
		}},
		&ignitev1.TestAppVersionResponse{Result: &ignitev1.TestResult{StatusCode: 500, Body: []byte("oops")}})
	got := newShell(t, server).run("version", "test", "acme:hello", "3")
	if got.code != exitFailed {
		t.Errorf("got %+v", got)
	}
	for _, want := range []string{"log: no module named x", "version 3 of acme:hello did not answer: POD_START_FAILED: exit status 1"} {
		wantContains(t, got.stderr, want)
	}
	got = newShell(t, server).run("version", "test", "acme:hello", "3")
	if got.code != exitFailed || !strings.HasPrefix(got.stdout, "oops") {
		t.Errorf("got %+v", got)
	}
	wantContains(t, got.stderr, "version 3 of acme:hello answered 500 Internal Server Error")
}
