package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// logOf sends lines as the log of the compilation with that id.
func logOf(id string, lines ...string) func(*ignitev1.StreamCompileLogsRequest, grpc.ServerStreamingServer[ignitev1.StreamCompileLogsResponse]) error {
	return func(r *ignitev1.StreamCompileLogsRequest, stream grpc.ServerStreamingServer[ignitev1.StreamCompileLogsResponse]) error {
		if r.GetDeployId() != id {
			return status.Error(codes.NotFound, "there is no log "+r.GetDeployId())
		}
		for i, line := range lines {
			if err := stream.Send(&ignitev1.StreamCompileLogsResponse{TimestampMs: int64(i + 1), Line: line}); err != nil {
				return err
			}
		}
		return nil
	}
}

func draftOf(id string, word ignitev1.VersionStatus) *ignitev1.DraftInfo {
	return &ignitev1.DraftInfo{DeployId: id, Status: word, Error: "main.go:1: oops"}
}

func TestCompileFollow(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetDraftInfo",
		&ignitev1.GetDraftInfoResponse{Draft: draftOf("ID1", ignitev1.VersionStatus_VERSION_STATUS_COMPILED)},
		&ignitev1.GetDraftInfoResponse{Draft: draftOf("ID1", ignitev1.VersionStatus_VERSION_STATUS_COMPILED)},
		&ignitev1.GetDraftInfoResponse{Draft: draftOf("ID2", ignitev1.VersionStatus_VERSION_STATUS_COMPILING)})
	server.on("CompileDraft", &ignitev1.CompileDraftResponse{
		Draft: draftOf("ID2", ignitev1.VersionStatus_VERSION_STATUS_COMPILED), Log: "go: one\n\x1b[31mtwo\n",
	})
	server.logs = logOf("ID2", "go: one", "\x1b[31mtwo")
	got := newShell(t, server).succeeds("draft", "compile", "acme:hello", "--follow").stdout
	if log, rest, _ := strings.Cut(got, "Status"); strings.TrimSpace(log) != "go: one\n[31mtwo" || !strings.Contains(rest, "compiled") {
		t.Errorf("got\n%s", got)
	}
	events := newShell(t, server).succeeds("draft", "compile", "acme:hello", "--follow", "-o", "json").stdout
	if lines := strings.Split(strings.TrimSpace(events), "\n"); len(lines) != 3 || !strings.Contains(lines[0], `"go: one"`) || strings.Contains(lines[2], `"log"`) {
		t.Errorf("as JSON: got\n%s", events)
	}
}

func TestCompileFollowOfWhatDoesNotCompile(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetDraftInfo", status.Error(codes.NotFound, "no draft"),
		&ignitev1.GetDraftInfoResponse{Draft: draftOf("ID1", ignitev1.VersionStatus_VERSION_STATUS_FAILED)})
	server.on("CompileDraft", &ignitev1.CompileDraftResponse{Draft: draftOf("ID1", ignitev1.VersionStatus_VERSION_STATUS_FAILED)})
	server.logs = logOf("ID1", "the only line")
	got := newShell(t, server).run("draft", "compile", "acme:hello", "--follow")
	if got.code != exitFailed || got.stdout != "the only line\n" {
		t.Errorf("got %+v", got)
	}
	wantContains(t, got.stderr, "acme:hello does not compile: main.go:1: oops")
}

// A server that keeps no logs still compiles.
func TestCompileFollowWithoutALog(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetDraftInfo", status.Error(codes.NotFound, "no draft"),
		&ignitev1.GetDraftInfoResponse{Draft: draftOf("ID1", ignitev1.VersionStatus_VERSION_STATUS_COMPILED)})
	server.on("CompileDraft", &ignitev1.CompileDraftResponse{Draft: draftOf("ID1", ignitev1.VersionStatus_VERSION_STATUS_COMPILED)})
	server.logs = logOf("another")
	got := newShell(t, server).succeeds("draft", "compile", "acme:hello", "--follow")
	wantContains(t, got.stderr, "Warning: the compiler's lines cannot be shown: there is no log ID1")
	refused := startServer(t)
	refused.on("GetDraftInfo", status.Error(codes.NotFound, "no draft"))
	refused.on("CompileDraft", status.Error(codes.FailedPrecondition, "save one first"))
	if got := newShell(t, refused).run("draft", "compile", "acme:hello", "--follow"); got.code != exitFailed || !strings.Contains(got.stderr, "save one first") {
		t.Errorf("without a draft: %+v", got)
	}
}

func TestDraftLogsGoOnAfterABrokenConnection(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	calls := 0
	server.logs = func(r *ignitev1.StreamCompileLogsRequest, stream grpc.ServerStreamingServer[ignitev1.StreamCompileLogsResponse]) error {
		if calls++; calls == 1 {
			if err := logOf("ID1", "one", "two")(r, stream); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "the server is stopping: try again")
		}
		return logOf("ID1", "one", "two", "three")(r, stream)
	}
	wantText(t, newShell(t, server).succeeds("draft", "logs", "ID1").stdout, "one\ntwo\nthree\n")
	missing := newShell(t, server).run("draft", "compile-logs", "ID2")
	if missing.code != exitCodes[codes.NotFound] {
		t.Errorf("got %+v", missing)
	}
}

func TestDeployFollow(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetApp", status.Error(codes.NotFound, "no app"))
	server.on("CreateApp", &ignitev1.CreateAppResponse{})
	server.on("SaveDraft", &ignitev1.SaveDraftResponse{})
	server.on("GetDraftInfo", &ignitev1.GetDraftInfoResponse{}, &ignitev1.GetDraftInfoResponse{Draft: draftOf("ID1", ignitev1.VersionStatus_VERSION_STATUS_COMPILING)})
	server.on("CompileDraft", &ignitev1.CompileDraftResponse{Draft: draftOf("ID1", ignitev1.VersionStatus_VERSION_STATUS_COMPILED)})
	server.on("PublishDraft", &ignitev1.PublishDraftResponse{Version: 1, App: &ignitev1.AppMeta{PublicUrls: []string{"http://there"}}})
	server.logs = logOf("ID1", "go version go1")
	code := writeFiles(t, "hello", map[string]string{"main.go": "package main"})
	wantText(t, newShell(t, server).succeeds("app", "deploy", code, "--org", "acme", "--follow").stdout, "go version go1\nhttp://there\n")
}
