package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/gateway"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// compiler is a builder that prints what it is told, line by line, until the lines end.
func compiler(lines <-chan string) func(*gateway.Config) {
	return func(c *gateway.Config) {
		c.Builder = builder{printing: func(to io.Writer) {
			for line := range lines {
				_, _ = io.WriteString(to, line)
			}
		}}
	}
}

// compiling begins to compile code, and answers the compilation's id once it has begun. done gets the answer.
func (s *setup) compiling(t *testing.T, code string) (id string, done <-chan *ignitev1.CompileDraftResponse) {
	t.Helper()
	must(s.save(t, "hello", code))
	answer := make(chan *ignitev1.CompileDraftResponse, 1)
	go func() {
		compiled, err := s.compile(t, "hello")
		if err != nil {
			t.Errorf("compile: %v", err)
		}
		answer <- compiled
	}()
	s.until(t, func() bool {
		info := must(s.client.GetDraftInfo(s.as(t, "acme"), &ignitev1.GetDraftInfoRequest{OrganizationName: "acme", AppName: "hello"}))
		id = info.GetDraft().GetDeployId()
		return id != ""
	})
	return id, answer
}

// logLines reads lines of a log until it ends.
func (s *setup) logLines(ctx context.Context, id string) (lines []string, err error) {
	stream, err := s.client.StreamCompileLogs(ctx, &ignitev1.StreamCompileLogsRequest{DeployId: id})
	for err == nil {
		var line *ignitev1.StreamCompileLogsResponse
		if line, err = stream.Recv(); err == nil {
			lines = append(lines, line.GetLine())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return lines, err
}

func TestCompileLogsComeLineByLine(t *testing.T) {
	t.Parallel()
	printed := make(chan string)
	s := start(t, compiler(printed))
	s.newApp(t, "hello")
	id, done := s.compiling(t, "built from this")
	stream := must(s.client.StreamCompileLogs(s.as(t, "acme"), &ignitev1.StreamCompileLogsRequest{DeployId: id}))
	for _, line := range []string{"first", "", "third \xff"} { // each is there before the next is printed
		printed <- line + "\r\n"
		got, err := stream.Recv()
		if want := strings.ToValidUTF8(line, "\uFFFD"); err != nil || got.GetLine() != want || got.GetTimestampMs() == 0 {
			t.Fatalf("got %v, %v, want %q", got, err, want)
		}
	}
	over := s.do(t, "GET", "/v1/ignite/compile/"+id+"/logs", "")
	lines := bufio.NewScanner(over.Body)
	for _, want := range []string{"first", "", "third \uFFFD"} {
		var got struct{ TimestampMs, Line string }
		if !lines.Scan() {
			t.Fatalf("it ends with %v before %q", lines.Err(), want)
		}
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil || got.Line != want || got.TimestampMs == "" {
			t.Errorf("over HTTP: got %s, %v, want %q", lines.Text(), err, want)
		}
	}
	if kind := over.Header.Get("Content-Type"); kind != "application/x-ndjson" {
		t.Errorf("the content type is %q", kind)
	}
	close(printed)
	if answer := <-done; answer.GetDraft().GetDeployId() != id || answer.GetLog() != "compiled\n" {
		t.Errorf("compiling is answered %v", answer)
	}
	if got, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end of the compilation: %v, %v", got, err)
	}
	if lines.Scan() {
		t.Errorf("over HTTP after the end: %q", lines.Text())
	}
	if late, err := s.logLines(s.as(t, "acme"), id); err != nil || strings.Join(late, "|") != "first||third \uFFFD" {
		t.Errorf("later: %q, %v", late, err)
	}
}

func TestCompileLogsBelongToTheOrganization(t *testing.T) {
	t.Parallel()
	printed := make(chan string)
	close(printed)
	s := start(t, compiler(printed))
	s.newApp(t, "hello")
	id, done := s.compiling(t, "broken code")
	if answer := <-done; answer.GetDraft().GetStatus() != ignitev1.VersionStatus_VERSION_STATUS_FAILED {
		t.Errorf("compiling is answered %v", answer)
	}
	if lines, err := s.logLines(s.as(t, "acme"), id); err != nil || len(lines) != 0 {
		t.Errorf("of a compiler that printed nothing: %q, %v", lines, err)
	}
	_, err := s.logLines(s.as(t, "other"), id)
	wantCode(t, err, codes.NotFound, id)
	_, err = s.logLines(s.as(t, "acme", "InvokeApp"), id)
	wantCode(t, err, codes.PermissionDenied, "GetApp")
	_, err = s.logLines(s.as(t, "acme"), "MISSING")
	wantCode(t, err, codes.NotFound, "MISSING")
	other := s.do(t, "GET", "/v1/ignite/compile/"+id+"/logs", "", func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+s.token("other"))
	})
	wantProblem(t, other, 404, codes.NotFound)
}

func TestCompileLogsAreBounded(t *testing.T) {
	t.Parallel()
	const count = 12_000
	printed := make(chan string, count+1)
	for i := range count {
		printed <- fmt.Sprintf("line %d\n", i)
	}
	close(printed)
	s := start(t, compiler(printed))
	s.newApp(t, "hello")
	id, done := s.compiling(t, "built from this")
	<-done
	lines, err := s.logLines(s.as(t, "acme"), id)
	if err != nil || len(lines) != 10_000+1+50 {
		t.Fatalf("got %d lines, %v", len(lines), err)
	}
	for i, want := range map[int]string{
		0: "line 0", 9_999: "line 9999", 10_000: "… (1950 lines were left out)", 10_001: "line 11950", 10_050: "line 11999",
	} {
		if lines[i] != want {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
}

func TestCompileLogsOfLongLinesAreBounded(t *testing.T) {
	t.Parallel()
	const size, count = 8 << 10, 200
	printed := make(chan string, count)
	for range count {
		printed <- strings.Repeat("\x01", size) // as JSON, six times as long
	}
	close(printed)
	s := start(t, compiler(printed))
	s.newApp(t, "hello")
	id, done := s.compiling(t, "built from this")
	<-done
	lines, err := s.logLines(s.as(t, "acme"), id)
	if err != nil || len(lines) != 1<<20/size+1+50 {
		t.Errorf("got %d lines, %v", len(lines), err)
	}
	s.wantNoErrorLogged(t)
}

// A server that is killed leaves a log without an end; who compiles again gets another.
func TestACompilationHasALogOfItsOwn(t *testing.T) {
	t.Parallel()
	printed := make(chan string, 1)
	s := start(t, compiler(printed))
	s.newApp(t, "hello")
	printed <- "once"
	close(printed)
	first, done := s.compiling(t, "built from this")
	<-done
	again := must(s.compile(t, "hello"))
	if second := again.GetDraft().GetDeployId(); second == first {
		t.Errorf("both have the id %s", first)
	} else if lines, err := s.logLines(s.as(t, "acme"), second); err != nil || len(lines) != 0 {
		t.Errorf("the second has %q, %v", lines, err)
	}
	if lines, err := s.logLines(s.as(t, "acme"), first); err != nil || len(lines) != 1 {
		t.Errorf("the first has %q, %v", lines, err)
	}
}

// Watching a compilation does not keep a server from stopping.
func TestCompileLogsEndWithTheServer(t *testing.T) {
	t.Parallel()
	s := start(t)
	part := store.BuildPart{App: store.AppRef{Org: "acme", Name: "hello"}, Lines: []store.BuildLine{{Text: "begun"}}}
	if err := s.store.AppendBuildLog(t.Context(), "BUILD1", part); err != nil {
		t.Fatal(err)
	}
	stream := must(s.client.StreamCompileLogs(s.as(t, "acme"), &ignitev1.StreamCompileLogsRequest{DeployId: "BUILD1"}))
	must(stream.Recv())
	s.stop()
	_, err := stream.Recv()
	wantCode(t, err, codes.Unavailable, "stopping")
}
