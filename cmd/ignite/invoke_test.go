package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

type invokeStream = grpc.ServerStreamingServer[ignitev1.InvokeResponse]

func head(code uint32) *ignitev1.InvokeResponse {
	return &ignitev1.InvokeResponse{Frame: &ignitev1.InvokeResponse_Head{Head: &ignitev1.InvokeHead{
		StatusCode: code, ExecutionId: "exec_1", ResponseHeaders: map[string]string{"content-type": "text/plain; a=b"},
	}}}
}

func chunk(data string) *ignitev1.InvokeResponse {
	return &ignitev1.InvokeResponse{Frame: &ignitev1.InvokeResponse_Chunk{Chunk: &ignitev1.InvokeChunk{Data: []byte(data)}}}
}

func trailer(bytes int64) *ignitev1.InvokeResponse {
	return &ignitev1.InvokeResponse{Frame: &ignitev1.InvokeResponse_Trailer{Trailer: &ignitev1.InvokeTrailer{
		TotalBodyBytes: bytes, DurationMs: 12,
	}}}
}

// answering sends frames, and then end.
func answering(end error, frames ...*ignitev1.InvokeResponse) func(*ignitev1.InvokeRequest, invokeStream) error {
	return func(_ *ignitev1.InvokeRequest, stream invokeStream) error {
		for _, frame := range frames {
			if err := stream.Send(frame); err != nil {
				return err
			}
		}
		return end
	}
}

func TestInvokePrintsChunksAsTheyCome(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	stdout := newTranscript()
	server.invoke = func(_ *ignitev1.InvokeRequest, stream invokeStream) error {
		if err := stream.Send(head(200)); err != nil {
			return err
		}
		for _, part := range []string{"one ", "two ", "three"} {
			if err := stream.Send(chunk(part)); err != nil {
				return err
			}
			if err := stdout.await(stream.Context(), part); err != nil { // the next part comes only after this one was printed
				return err
			}
		}
		return stream.Send(trailer(13))
	}
	sh := newShell(t, server)
	sh.stdout = stdout
	r := sh.succeeds("invoke", "acme:hello")
	wantText(t, stdout.String(), "one two three")
	wantText(t, r.stderr, "")
}

func TestInvokeAnswers(t *testing.T) {
	t.Parallel()
	broken := status.Error(codes.Unavailable, "the pod went away")
	for name, test := range map[string]struct {
		answer         func(*ignitev1.InvokeRequest, invokeStream) error
		code           int
		stdout, stderr string
	}{
		"an empty body":        {answering(nil, head(204), trailer(0)), 0, "", ""},
		"an answer of the app": {answering(nil, head(404), chunk("nothing here\n"), trailer(13)), 1, "nothing here\n", "Error: acme:hello answered 404 Not Found\n"},
		"broken on the way":    {answering(broken, head(200), chunk("half")), 9, "half", "Error: invoke acme:hello: the pod went away\n"},
		"no trailer":           {answering(nil, head(200), chunk("half")), 1, "half", "Error: invoke acme:hello: the answer ended without its trailer: it may be incomplete\n"},
		"never published":      {answering(status.Error(codes.FailedPrecondition, "acme:hello was never published")), 1, "", "Error: invoke acme:hello: acme:hello was never published\n"},
		"queue full":           {answering(status.Error(codes.ResourceExhausted, "too many calls wait")), 7, "", "Error: invoke acme:hello: too many calls wait\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t)
			server.invoke = test.answer
			r := newShell(t, server).run("invoke", "acme:hello")
			if r.code != test.code {
				t.Errorf("exit code %d, want %d", r.code, test.code)
			}
			wantText(t, r.stdout, test.stdout)
			wantText(t, r.stderr, test.stderr)
		})
	}
}

func TestInvokeInclude(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.invoke = answering(nil, head(200), chunk("body"), trailer(4))
	r := newShell(t, server).succeeds("invoke", "acme:hello", "--include")
	wantText(t, r.stdout, "body")
	wantText(t, r.stderr, "HTTP 200 OK\ncontent-type: text/plain; a=b\nX-Ignite-Execution-Id: exec_1\n\n\n4 bytes in 12ms\n")

	repeated := head(200)
	repeated.GetHead().ResponseHeaderFields = []*ignitev1.HeaderField{{Name: "Set-Cookie", Value: "a=1"}, {Name: "Set-Cookie", Value: "b=2"}}
	server.invoke = answering(nil, repeated, trailer(0))
	wantContains(t, newShell(t, server).succeeds("invoke", "acme:hello", "-i").stderr, "Set-Cookie: a=1\nSet-Cookie: b=2\n")
}

func TestInvokePayloads(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.invoke = func(request *ignitev1.InvokeRequest, stream invokeStream) error {
		return answering(nil, head(200), chunk(string(request.GetBody())), trailer(0))(request, stream)
	}
	file := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(file, []byte("\x00from a file\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	sh := newShell(t, server)
	wantText(t, sh.succeeds("invoke", "acme:hello", "--payload-file", file).stdout, "\x00from a file\xff")
	sh.stdin = strings.NewReader("from stdin")
	wantText(t, sh.succeeds("invoke", "acme:hello", "--payload-file", "-").stdout, "from stdin")

	large := strings.Repeat("x", 5<<20) // more than a message may hold unless both sides say so
	sh.stdin = strings.NewReader(large)
	wantText(t, sh.succeeds("invoke", "acme:hello", "--payload-file", "-").stdout, large)
}

func TestInvokeAsync(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("InvokeAsync", &ignitev1.InvokeAsyncResponse{ExecutionId: "exec_1"})
	sh := newShell(t, server)
	wantText(t, sh.succeeds("invoke", "acme:hello", "--async").stdout, "exec_1\n")
	wantText(t, sh.succeeds("invoke", "acme:hello", "--async", "-o", "json").stdout, "{\n  \"executionId\": \"exec_1\"\n}\n")
}

func TestInterruptLeavesTheCall(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	ctx, interrupt := context.WithCancel(t.Context())
	left := make(chan struct{})
	server.invoke = func(_ *ignitev1.InvokeRequest, stream invokeStream) error {
		interrupt()
		<-stream.Context().Done()
		close(left)
		return stream.Context().Err()
	}
	r := newShell(t, server).runContext(ctx, "invoke", "acme:hello")
	if r.code != exitInterrupted {
		t.Errorf("exit code %d, want %d", r.code, exitInterrupted)
	}
	wantText(t, r.stderr, "Interrupted\n")
	<-left
}

func TestInterruptWhileStandardInputIsRead(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	sh := newShell(t, startServer(t))
	sh.stdin = readerFunc(func(p []byte) (int, error) {
		interrupt()
		return reader.Read(p)
	})
	if r := sh.runContext(ctx, "invoke", "acme:hello", "--payload-file", "-"); r.code != exitInterrupted {
		t.Errorf("exit code %d, want %d", r.code, exitInterrupted)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// transcript is a stream that a test can wait on.
type transcript struct {
	written chan []byte
	content chan *bytes.Buffer // holds the one buffer while nobody uses it
}

func newTranscript() *transcript {
	t := &transcript{written: make(chan []byte, 1024), content: make(chan *bytes.Buffer, 1)}
	t.content <- new(bytes.Buffer)
	return t
}

func (t *transcript) Write(data []byte) (int, error) {
	content := <-t.content
	content.Write(data)
	t.content <- content
	t.written <- bytes.Clone(data)
	return len(data), nil
}

func (t *transcript) String() string {
	content := <-t.content
	defer func() { t.content <- content }()
	return content.String()
}

// await waits for a write of exactly part.
func (t *transcript) await(ctx context.Context, part string) error {
	for {
		select {
		case data := <-t.written:
			if string(data) == part {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
