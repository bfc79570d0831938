package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// contractServer answers the client over a real socket with what a test lays down, and keeps what it was asked. It stands in
// for the contract only; the whole stack is tested with the server.
type contractServer struct {
	ignitev1.UnimplementedComputeServiceServer
	address string
	invoke  func(*ignitev1.InvokeRequest, grpc.ServerStreamingServer[ignitev1.InvokeResponse]) error
	fetch   func(*ignitev1.FetchResponseRequest, grpc.ServerStreamingServer[ignitev1.InvokeResponse]) error
	watch   func(*ignitev1.WatchExecutionRequest, grpc.ServerStreamingServer[ignitev1.WatchExecutionResponse]) error
	logs    func(*ignitev1.StreamCompileLogsRequest, grpc.ServerStreamingServer[ignitev1.StreamCompileLogsResponse]) error

	mu       sync.Mutex
	answers  map[string][]any // by method; the last one is given again and again
	requests []proto.Message
	headers  []metadata.MD
}

func startServer(t *testing.T) *contractServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener)
}

func serveOn(t *testing.T, listener net.Listener) *contractServer {
	t.Helper()
	s := &contractServer{address: listener.Addr().String(), answers: make(map[string][]any)}
	server := grpc.NewServer(grpc.UnaryInterceptor(s.answer), grpc.StreamInterceptor(s.keepHeaders),
		grpc.MaxRecvMsgSize(maxMessage))
	ignitev1.RegisterComputeServiceServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return s
}

// on lays down the answers of a unary method: messages, or errors.
func (s *contractServer) on(method string, answers ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[method] = answers
}

func (s *contractServer) answer(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, unlaid grpc.UnaryHandler,
) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, request.(proto.Message))
	s.noteHeaders(ctx)
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	answers := s.answers[method]
	if len(answers) == 0 {
		return unlaid(ctx, request)
	}
	if len(answers) > 1 {
		s.answers[method] = answers[1:]
	}
	if err, ok := answers[0].(error); ok {
		return nil, err
	}
	return answers[0], nil
}

func (s *contractServer) keepHeaders(
	service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler,
) error {
	s.mu.Lock()
	s.noteHeaders(stream.Context())
	s.mu.Unlock()
	return handler(service, stream)
}

func (s *contractServer) noteHeaders(ctx context.Context) {
	headers, _ := metadata.FromIncomingContext(ctx)
	s.headers = append(s.headers, headers)
}

func (s *contractServer) Invoke(
	request *ignitev1.InvokeRequest, stream grpc.ServerStreamingServer[ignitev1.InvokeResponse],
) error {
	s.keep(request)
	return s.invoke(request, stream)
}

func (s *contractServer) FetchResponse(
	request *ignitev1.FetchResponseRequest, stream grpc.ServerStreamingServer[ignitev1.InvokeResponse],
) error {
	s.keep(request)
	return s.fetch(request, stream)
}

func (s *contractServer) WatchExecution(
	request *ignitev1.WatchExecutionRequest, stream grpc.ServerStreamingServer[ignitev1.WatchExecutionResponse],
) error {
	s.keep(request)
	return s.watch(request, stream)
}

func (s *contractServer) StreamCompileLogs(
	request *ignitev1.StreamCompileLogsRequest, stream grpc.ServerStreamingServer[ignitev1.StreamCompileLogsResponse],
) error {
	s.keep(request)
	return s.logs(request, stream)
}

func (s *contractServer) keep(request proto.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, request)
}

// asked are the requests so far.
func (s *contractServer) asked() []proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]proto.Message(nil), s.requests...)
}

// shell runs command lines against one server, with an environment and a configuration of its own.
type shell struct {
	t      *testing.T
	env    map[string]string
	stdin  io.Reader
	stdout io.Writer // in place of result.stdout
	stderr io.Writer // in place of result.stderr
}

type result struct {
	code           int
	stdout, stderr string
}

func newShell(t *testing.T, server *contractServer) *shell {
	t.Helper()
	env := map[string]string{"IGNITE_CONFIG_DIR": t.TempDir(), "IGNITE_TOKEN": "secret-of-the-test"}
	if server != nil {
		env["IGNITE_API_ENDPOINT"] = server.address
	}
	return &shell{t: t, env: env, stdin: strings.NewReader("")}
}

func (s *shell) run(args ...string) result { return s.runContext(s.t.Context(), args...) }

func (s *shell) runContext(ctx context.Context, args ...string) result {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	var out, problems io.Writer = &stdout, &stderr
	if s.stdout != nil {
		out = s.stdout
	}
	if s.stderr != nil {
		problems = s.stderr
	}
	code := run(ctx, args, s.stdin, out, problems, func(name string) string { return s.env[name] })
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// succeeds runs a command line that must end with 0.
func (s *shell) succeeds(args ...string) result {
	s.t.Helper()
	r := s.run(args...)
	if r.code != 0 {
		s.t.Fatalf("ignite %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func wantContains(t *testing.T, got, part string) {
	t.Helper()
	if !strings.Contains(got, part) {
		t.Errorf("%q is not in:\n%s", part, got)
	}
}

// wantRequests compares what a server was asked. A key that the client made up is taken for none.
func wantRequests(t *testing.T, got []proto.Message, want ...proto.Message) {
	t.Helper()
	for i, request := range got {
		if invocation, ok := request.(*ignitev1.InvokeRequest); ok && strings.HasPrefix(invocation.GetIdempotencyKey(), "ignite-") {
			invocation = proto.CloneOf(invocation)
			invocation.IdempotencyKey = ""
			got[i] = invocation
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d requests, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if got[i].ProtoReflect().Descriptor() != want[i].ProtoReflect().Descriptor() || !proto.Equal(got[i], want[i]) {
			t.Errorf("request %d is\n%T %s\nwant\n%T %s", i,
				got[i], protojson.Format(got[i]), want[i], protojson.Format(want[i]))
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	sh := newShell(t, nil)
	wantContains(t, sh.succeeds("--version").stdout, "ignite ")
	for _, group := range []string{"", "app", "draft", "version", "execution", "config"} {
		help := sh.succeeds(strings.Fields(group)...).stdout
		wantContains(t, help, "Available Commands:")
	}
	wantContains(t, sh.succeeds("invoke", "--help").stdout, "Examples:")
	// A list without a default is shown without one.
	for _, line := range []string{"execution list", "execution redrive", "execution purge", "invoke", "app create", "app update"} {
		help := sh.succeeds(append(strings.Fields(line), "--help")...).stdout
		for _, empty := range []string{"(default )", "(default [])"} {
			if strings.Contains(help, empty) {
				t.Errorf("%s --help says %s", line, empty)
			}
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	sh := newShell(t, nil)
	for _, kind := range []string{"bash", "zsh", "fish", "powershell"} {
		wantContains(t, sh.succeeds("completion", kind).stdout, "__complete")
	}
	for line, want := range map[string]string{
		"app create x --tier":         "xlarge",
		"app deploy . --scale-metric": "concurrency",
		"app update x --storage-mode": "ephemeral",
		"app deploy . --runtime":      "procfile",
		"app create x --runtime":      "python",
		"draft save x --runtime":      "python",
		"invoke x --method":           "options",
		"app list --output":           "yaml",
		"config set":                  "api_endpoint",
		"execution list --status":     "timeout",
		"execution redrive --status":  "failed",
	} {
		wantContains(t, sh.succeeds(append([]string{"__complete"}, append(strings.Fields(line), "")...)...).stdout, want)
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	for line, want := range map[string]string{
		"ap":                                      `unknown command "ap" for "ignite"; did you mean app?`,
		"app gte":                                 `unknown command "gte" for "ignite app"; did you mean get?`,
		"app get":                                 "Run 'ignite app get --help' for usage.",
		"app list --no-such-flag":                 "unknown flag: --no-such-flag",
		"app list -o xml":                         `--output "xml" is none of table, wide, json, yaml`,
		"app list --org a --timeout -1s":          "--timeout -1s is negative",
		"app get acme:Hello":                      `"Hello" cannot be the name of an app`,
		"app get -- -acme:hello":                  `"-acme" cannot be the name of an organization`,
		"app get hello":                           "no organization is known",
		"app get a:b --api-endpoint nonsense":     `the API endpoint "nonsense" is not of the form host:port`,
		"app create a:b --tier huge":              `--tier "huge" is none of small, medium, large, xlarge`,
		"app create a:b --env NAME":               `--env "NAME" is not of the form NAME=VALUE`,
		"app create a:b --port 70000":             "--port 70000 is no port",
		"app create a:b --input-schema @missing":  "read the schema: open missing",
		"app update a:b":                          "nothing to update",
		"app deploy /nowhere/app --org acme":      "read the code: stat /nowhere/app",
		"draft save a:b":                          "say what to save with --code",
		"version get a:b 0":                       `"0" is no version`,
		"version get a:b first":                   `"first" is no version`,
		"invoke a:b --payload x --payload-file y": "none of the others can be",
		"invoke a:b --payload-file missing.json":  "read the payload: open missing.json",
		"invoke a:b --method brew":                `--method "brew" is none of get, post`,
		"invoke a:b --path relative":              `--path "relative" does not begin with /`,
		"invoke a:b --path /x?y=1 --query y=2":    "give the query in --path or in --query, not in both",
		"invoke a:b --header novalue":             `--header "novalue" is not of the form`,
		"invoke a:b --delay 1m":                   "--delay is for calls that are submitted: give --async with it",
		"invoke a:b --max-attempts 2":             "--max-attempts is for calls that are submitted: give --async with it",
		"invoke a:b --async --delay -1m":          "--delay -1m0s is negative",
		"invoke a:b --wait -1m":                   "--wait -1m0s is negative",
		"invoke a:b --async --delay 1m --not-before 2026-12-01T00:00:00Z": "none of the others can be",
		"invoke a:b --async --not-before tomorrow":                        `--not-before "tomorrow" is no time such as`,
		"invoke a:b --async --max-age 1500ms":                             "--max-age 1.5s is not a multiple of 1s",
		"invoke a:b --async --initial-backoff 2000h":                      "--initial-backoff 2000h0m0s is out of range",
		"invoke a:b --async --retry-statuses 500,99":                      "--retry-statuses 99 is no status of a failure",
		"invoke a:b --batch calls --payload x":                            "none of the others can be",
		"invoke a:b --batch calls --idempotency-key x":                    "none of the others can be",
		"invoke a:b --batch missing.jsonl":                                "read the batch: open missing.jsonl",
		"execution list --limit 0":                                        "--limit 0 lists nothing: --all lists everything",
		"execution list --limit 5 --all":                                  "none of the others can be",
		"execution list a:b --app c":                                      "give the app as a:b or with --app, not both",
		"execution list Acme":                                             `"Acme" cannot be the name of an organization`,
		"execution list acme:":                                            `"" cannot be the name of an app`,
		"execution list a --status sleeping":                              `--status "sleeping" is none of pending, running, completed`,
		"execution list a --since yesterday":                              `--since "yesterday" is neither an age, such as 90m, nor a time`,
		"execution list a --since -1h":                                    `--since "-1h" is in the future`,
		"execution list a --since 1h --until 2h":                          "--since 1h is not before --until 2h",
		"execution get exec_1 --wait -1s":                                 "--wait -1s is negative",
		"execution watch exec_1 --from-chunk -1":                          "--from-chunk -1 is negative",
		"execution response exec_1 --head --file x":                       "none of the others can be",
		"execution response exec_1 --head -i":                             "none of the others can be",
		"execution redrive":                                               "say which: an ID, or a filter of --org, --app, --status, --since and --until",
		"execution redrive --yes":                                         "say which: an ID, or a filter",
		"execution redrive exec_1 --status failed":                        "give an ID or --status, not both",
		"execution purge exec_1 exec_2 --app x":                           "give an ID or --app, not both",
		"execution purge":                                                 "say which: an ID, or a filter",
		"config set colour blue":                                          `"colour" is no key of the configuration; the keys are token, api_endpoint, org_id, org`,
		"config set api_endpoint example.com":                             `the API endpoint "example.com" is not of the form host:port`,
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			r := newShell(t, server).run(strings.Fields(line)...)
			if r.code != exitUsage {
				t.Errorf("exit code %d, want %d", r.code, exitUsage)
			}
			wantContains(t, r.stderr, want)
			if r.stdout != "" {
				t.Errorf("stdout is %q", r.stdout)
			}
		})
	}
	t.Cleanup(func() {
		if asked := server.asked(); len(asked) > 0 {
			t.Errorf("the server was asked %v", asked)
		}
	})
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[uint32]int{
		1: 1, 2: 1, 3: 2, 4: 8, 5: 5, 6: 6, 7: 4, 8: 7, 9: 1, 10: 1, 11: 1, 12: 1, 13: 10, 14: 9, 15: 1, 16: 3,
	} {
		server := startServer(t)
		server.on("RollbackApp", status.Error(codes.Code(code), "the server's words"))
		r := newShell(t, server).run("version", "rollback", "acme:hello")
		if r.code != want {
			t.Errorf("gRPC code %s ends with %d, want %d", codes.Code(code), r.code, want)
		}
		wantContains(t, r.stderr, "Error: roll acme:hello back: the server's words\n")
	}
}
