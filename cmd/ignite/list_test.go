package main

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func page(next string, ids ...string) *ignitev1.ListExecutionsResponse {
	answer := &ignitev1.ListExecutionsResponse{NextCursor: next}
	for _, id := range ids {
		answer.Executions = append(answer.Executions, &ignitev1.Execution{
			Id: id, AppId: "acme/hello", Status: failed, Attempt: 2, CreatedAtMs: 1716900000000, FinishedAtMs: 1716900060000,
			Error: &ignitev1.ExecutionError{Code: "APP_ERROR"},
		})
	}
	return answer
}

func TestExecutionList(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("ListExecutions", page("two", "exec_3", "exec_2"), page("", "exec_1"))
	sh := newShell(t, server)
	r := sh.succeeds("execution", "list", "acme", "--all")
	wantText(t, r.stdout, `EXECUTION   APP          STATUS   ATTEMPT   SUBMITTED              ENDED                  ERROR
exec_3      acme/hello   FAILED   2         2024-05-28T12:40:00Z   2024-05-28T12:41:00Z   APP_ERROR
exec_2      acme/hello   FAILED   2         2024-05-28T12:40:00Z   2024-05-28T12:41:00Z   APP_ERROR
exec_1      acme/hello   FAILED   2         2024-05-28T12:40:00Z   2024-05-28T12:41:00Z   APP_ERROR
`)
	wantText(t, r.stderr, "")
	wantRequests(t, server.asked(),
		&ignitev1.ListExecutionsRequest{OrganizationName: "acme", Limit: 1000},
		&ignitev1.ListExecutionsRequest{OrganizationName: "acme", Limit: 1000, Cursor: "two"})
}

func TestExecutionListEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("ListExecutions", page("two", "exec_3", "exec_2"), page("three", "exec_1"))
	sh := newShell(t, server)
	r := sh.succeeds("execution", "list", "acme", "--limit", "3")
	wantText(t, r.stderr, "There are more: see them with --all, or go on with --cursor three\n")
	wantRequests(t, server.asked(),
		&ignitev1.ListExecutionsRequest{OrganizationName: "acme", Limit: 3},
		&ignitev1.ListExecutionsRequest{OrganizationName: "acme", Limit: 1, Cursor: "two"})

	r = sh.succeeds("execution", "list", "acme", "--limit", "1", "-o", "json")
	wantContains(t, r.stdout, `"nextCursor": "three"`)
	wantText(t, r.stderr, "")
	wantContains(t, sh.succeeds("execution", "list", "acme", "--limit", "1", "-o", "yaml").stdout, "nextCursor: three")
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90m": now.Add(-90 * time.Minute), "0s": now, "2026-11-23T13:00:00+02:00": now.Add(-time.Hour),
	} {
		if got, err := parseTime("since", text, now); err != nil || !got.AsTime().Equal(want) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("CancelExecution", &ignitev1.CancelExecutionResponse{Execution: record(cancelled, "").GetExecution()})
	sh := newShell(t, server)
	wantText(t, sh.succeeds("execution", "cancel", "exec_1").stdout, "exec_1 CANCELLED\n")
	wantContains(t, sh.succeeds("execution", "cancel", "exec_1", "-o", "json").stdout, `"status": "EXECUTION_STATUS_CANCELLED"`)

	server.on("CancelExecution", status.Error(codes.FailedPrecondition, "it has COMPLETED"))
	if r := sh.run("execution", "cancel", "exec_1"); r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	} else {
		wantText(t, r.stderr, "Error: cancel execution exec_1: it has COMPLETED\n")
	}
}
