package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]proto.Message{
		"app get acme:hello":              &ignitev1.GetAppRequest{OrganizationName: "acme", AppName: "hello"},
		"fn get acme/hello":               &ignitev1.GetAppRequest{OrganizationName: "acme", AppName: "hello"},
		"app get hello --org acme":        &ignitev1.GetAppRequest{OrganizationName: "acme", AppName: "hello"},
		"app list --org acme --limit 7":   &ignitev1.ListAppsRequest{OrganizationName: "acme", Limit: 7},
		"app list --org acme --cursor c1": &ignitev1.ListAppsRequest{OrganizationName: "acme", Cursor: "c1"},
		"app state acme:hello":            &ignitev1.GetAppStateRequest{OrganizationName: "acme", AppName: "hello"},
		"app delete acme:hello":           &ignitev1.DeleteAppRequest{OrganizationName: "acme", AppName: "hello"},
		"draft info acme:hello":           &ignitev1.GetDraftInfoRequest{OrganizationName: "acme", AppName: "hello"},
		"draft compile acme:hello":        &ignitev1.CompileDraftRequest{OrganizationName: "acme", AppName: "hello"},
		"draft test acme:hello": &ignitev1.TestDraftRequest{
			OrganizationName: "acme", AppName: "hello", Http: &ignitev1.HttpContext{},
		},
		"version test acme:hello 3 --method get --path /x?a=b": &ignitev1.TestAppVersionRequest{
			OrganizationName: "acme", AppName: "hello", Version: 3,
			Http: &ignitev1.HttpContext{Method: ignitev1.HttpMethod_HTTP_METHOD_GET, Path: "/x", Query: "a=b"},
		},
		"draft publish acme:hello":            &ignitev1.PublishDraftRequest{OrganizationName: "acme", AppName: "hello"},
		"version list acme:hello --limit 2":   &ignitev1.ListAppVersionsRequest{OrganizationName: "acme", AppName: "hello", Limit: 2},
		"version get acme:hello 3":            &ignitev1.GetAppVersionRequest{OrganizationName: "acme", AppName: "hello", Version: 3},
		"version rollback acme:hello":         &ignitev1.RollbackAppRequest{OrganizationName: "acme", AppName: "hello"},
		"version rollback acme:hello 2":       &ignitev1.RollbackAppRequest{OrganizationName: "acme", AppName: "hello", Version: 2},
		"version code acme:hello --version 4": &ignitev1.GetAppCodeRequest{OrganizationName: "acme", AppName: "hello", Version: 4},
		"exec get exec_1":                     &ignitev1.GetExecutionRequest{ExecutionId: "exec_1"},
		"execution list":                      &ignitev1.ListExecutionsRequest{Limit: 50},
		"execution ls acme --cursor c1":       &ignitev1.ListExecutionsRequest{OrganizationName: "acme", Limit: 50, Cursor: "c1"},
		"execution list --org acme --all":     &ignitev1.ListExecutionsRequest{OrganizationName: "acme", Limit: 1000},
		`execution list acme/hello --status failed,TIMEOUT --status cancelled --limit 5 --dead-letters
			--since 2026-11-23T00:00:00Z --until 2026-11-24T02:00:00+02:00`: &ignitev1.ListExecutionsRequest{
			OrganizationName: "acme", AppName: "hello", Limit: 5, DeadLetters: true,
			Statuses: []ignitev1.ExecutionStatus{failed, timeout, cancelled},
			From:     timestamppb.New(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)),
			To:       timestamppb.New(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)),
		},
		"execution list --org acme --app public:echo": &ignitev1.ListExecutionsRequest{OrganizationName: "acme", AppName: "public/echo", Limit: 50},
		"execution list acme --app acme:hello":        &ignitev1.ListExecutionsRequest{OrganizationName: "acme", AppName: "hello", Limit: 50},
		"execution cancel exec_1 --reason mistake":    &ignitev1.CancelExecutionRequest{ExecutionId: "exec_1", Reason: "mistake"},
		"execution redrive exec_1":                    &ignitev1.RedriveExecutionRequest{ExecutionId: "exec_1"},
		"execution redrive --org acme --app hello --status timeout --until 2026-11-23T00:00:00Z --yes": &ignitev1.RedriveExecutionsRequest{
			Filter: &ignitev1.ExecutionFilter{
				OrganizationName: "acme", AppName: "hello", Statuses: []ignitev1.ExecutionStatus{timeout},
				To: timestamppb.New(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)),
			},
			Limit: 1000,
		},
		"execution purge exec_1 exec_2": &ignitev1.PurgeDeadLettersRequest{ExecutionIds: []string{"exec_1", "exec_2"}},
		"execution purge --app hello --limit 7 --until 2026-11-23T00:00:00Z -y": &ignitev1.PurgeDeadLettersRequest{
			Filter: &ignitev1.ExecutionFilter{AppName: "hello", To: timestamppb.New(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))},
			Limit:  7,
		},
		`app create acme:hello --max-attempts 5 --initial-backoff 250ms --max-backoff 1m --backoff-multiplier 1.5
			--backoff-jitter 0 --retry-statuses 429,503 --max-age 2h`: &ignitev1.CreateAppRequest{
			OrganizationName: "acme", Name: "hello", Retry: &ignitev1.RetryPolicy{
				MaxAttempts: 5, InitialBackoffMs: 250, MaxBackoffMs: 60_000, Multiplier: 1.5, Jitter: new(0.0),
				RetryStatuses: []uint32{429, 503}, MaxAgeSecs: 7200,
			},
		},
		"invoke acme:hello --async --idempotency-key order-7 --delay 90s --max-attempts 3": &ignitev1.InvokeRequest{
			OrganizationName: "acme", AppName: "hello", Http: &ignitev1.HttpContext{}, IdempotencyKey: "order-7",
			Delay: durationpb.New(90 * time.Second), Retry: &ignitev1.RetryPolicy{MaxAttempts: 3},
		},
		"invoke acme:hello --watch --not-before 2026-12-01T06:00:00Z": &ignitev1.InvokeRequest{
			OrganizationName: "acme", AppName: "hello", Http: &ignitev1.HttpContext{},
			NotBefore: timestamppb.New(time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC)),
		},
		"app create acme:hello": &ignitev1.CreateAppRequest{OrganizationName: "acme", Name: "hello"},
		`app create acme:hello -t large --description d --env A=1 --env B=x=y --memory 64 --cpu 100 --timeout-secs 9
			--reserved 1 --max-replicas 4 --scaledown 30 --scale-metric concurrency --scale-threshold 6 --max-concurrency 8
			--health-path /up --port 80 --port 9000 --storage-mode ephemeral --input-schema {} --mcp-enabled
			--allow-unauthenticated --cors-origin https://a.example --cors-origin https://b.example --max-async-in-flight 7`: &ignitev1.CreateAppRequest{
			OrganizationName: "acme", Name: "hello", ResourceTier: ignitev1.ResourceTier_RESOURCE_TIER_LARGE,
			Description: "d", Env: map[string]string{"A": "1", "B": "x=y"},
			Limits: &ignitev1.ResourceLimits{MemoryMb: 64, CpuMillicores: 100, TimeoutSecs: 9},
			Scaling: &ignitev1.ScalingConfig{
				ReservedCapacity: 1, MaxReplicas: 4, ScaleMetric: ignitev1.ScaleMetric_SCALE_METRIC_CONCURRENCY,
				ScaleThreshold: 6, ScaledownPeriodSecs: 30,
			},
			MaxConcurrency: 8, HealthPath: "/up", Ports: []uint32{80, 9000},
			StorageMode: ignitev1.StorageMode_STORAGE_MODE_EPHEMERAL, InputSchema: "{}", McpEnabled: true,
			AllowUnauthenticated: true, CorsOrigins: []string{"https://a.example", "https://b.example"}, MaxAsyncInFlight: 7,
		},
		"app update acme:hello --env A= --description= --memory 64": &ignitev1.UpdateAppConfigRequest{
			OrganizationName: "acme", AppName: "hello", Env: map[string]string{"A": ""}, Description: new(""),
			Limits: &ignitev1.ResourceLimits{MemoryMb: 64},
		},
		"app update acme:hello --replace-env --env A=1": &ignitev1.UpdateAppConfigRequest{
			OrganizationName: "acme", AppName: "hello",
			ReplaceEnv: &ignitev1.EnvVars{Values: map[string]string{"A": "1"}},
		},
		"app update acme:hello --replace-env": &ignitev1.UpdateAppConfigRequest{
			OrganizationName: "acme", AppName: "hello", ReplaceEnv: &ignitev1.EnvVars{},
		},
		"invoke acme:hello --async": &ignitev1.InvokeRequest{
			OrganizationName: "acme", AppName: "hello", Http: &ignitev1.HttpContext{},
		},
		`invoke acme:hello --async -p {"a":1}`: &ignitev1.InvokeRequest{
			OrganizationName: "acme", AppName: "hello", Body: []byte(`{"a":1}`), Http: &ignitev1.HttpContext{
				HeaderFields: []*ignitev1.HeaderField{{Name: "content-type", Value: "application/json"}},
			},
		},
		`invoke acme:hello --async -p plain --method put --path /a%20b?q=1&q=2 --header X-A:1 --header X-A:2`: &ignitev1.InvokeRequest{
			OrganizationName: "acme", AppName: "hello", Body: []byte("plain"), Http: &ignitev1.HttpContext{
				Method: ignitev1.HttpMethod_HTTP_METHOD_PUT, Path: "/a%20b", Query: "q=1&q=2",
				HeaderFields: []*ignitev1.HeaderField{{Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}},
			},
		},
		`invoke acme:hello --async -p {} --header Content-Type:application/x --query a=b`: &ignitev1.InvokeRequest{
			OrganizationName: "acme", AppName: "hello", Body: []byte("{}"), Http: &ignitev1.HttpContext{
				Query: "a=b", HeaderFields: []*ignitev1.HeaderField{{Name: "Content-Type", Value: "application/x"}},
			},
		},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			server := startServer(t)
			newShell(t, server).run(strings.Fields(line)...)
			wantRequests(t, server.asked(), want)
		})
	}
}

func TestUpdateKeepsTheScalingThatIsNotGiven(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetApp", &ignitev1.GetAppResponse{App: &ignitev1.AppMeta{Scaling: &ignitev1.ScalingConfig{
		MaxReplicas: 3, ScaleMetric: ignitev1.ScaleMetric_SCALE_METRIC_CONCURRENCY, ScaledownPeriodSecs: 60,
	}}})
	server.on("UpdateAppConfig", &ignitev1.UpdateAppConfigResponse{})
	newShell(t, server).succeeds("app", "update", "acme:hello", "--reserved", "2", "--scaledown", "0")
	wantRequests(t, server.asked(),
		&ignitev1.GetAppRequest{OrganizationName: "acme", AppName: "hello"},
		&ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "hello", Scaling: &ignitev1.ScalingConfig{
			ReservedCapacity: 2, MaxReplicas: 3, ScaleMetric: ignitev1.ScaleMetric_SCALE_METRIC_CONCURRENCY,
		}})
}

func TestUpdateKeepsTheRetryPolicyThatIsNotGiven(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetApp", &ignitev1.GetAppResponse{App: &ignitev1.AppMeta{Retry: &ignitev1.RetryPolicy{ // as it is shown, with its defaults
		MaxAttempts: 3, InitialBackoffMs: 1000, MaxBackoffMs: 60_000, Multiplier: 2, Jitter: new(0.5),
		RetryStatuses: []uint32{408, 425, 429, 500, 502, 503, 504}, MaxAgeSecs: 86_400,
	}}})
	server.on("UpdateAppConfig", &ignitev1.UpdateAppConfigResponse{})
	newShell(t, server).succeeds("app", "update", "acme:hello", "--max-attempts", "0", "--initial-backoff", "2s")
	newShell(t, server).succeeds("app", "update", "acme:hello", "--retry-statuses", "503", "--backoff-jitter", "0.2")
	asked := server.asked()
	wantRequests(t, []proto.Message{asked[1], asked[3]},
		&ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "hello", Retry: &ignitev1.RetryPolicy{
			InitialBackoffMs: 2000, MaxBackoffMs: 60_000, Jitter: new(0.5),
		}},
		&ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "hello", Retry: &ignitev1.RetryPolicy{
			MaxAttempts: 3, MaxBackoffMs: 60_000, Jitter: new(0.2), RetryStatuses: []uint32{503},
		}})
}

func TestRetryText(t *testing.T) {
	t.Parallel()
	wantText(t, retryText(nil), "")
	wantText(t, retryText(&ignitev1.RetryPolicy{
		MaxAttempts: 3, InitialBackoffMs: 1500, MaxBackoffMs: 300_000, Multiplier: 1.5, Jitter: new(0.25),
		RetryStatuses: []uint32{429, 503}, MaxAgeSecs: 86_400,
	}), `3 attempts, 1.5s to 5m0s apart (x1.5, ±25%)
after timeouts, broken pods and answers 429, 503
within 24h0m0s`)
}

func TestListFollowsPages(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	page := func(id, next string) *ignitev1.ListAppsResponse {
		return &ignitev1.ListAppsResponse{Apps: []*ignitev1.AppMeta{{Id: id}}, NextCursor: next}
	}
	server.on("ListApps", page("acme/a", "one"), page("acme/b", "two"), page("acme/c", ""))
	sh := newShell(t, server)
	all := sh.succeeds("app", "list", "--org", "acme").stdout
	for _, app := range []string{"acme/a", "acme/b", "acme/c"} {
		wantContains(t, all, app)
	}

	server.on("ListApps", page("acme/a", "one"), page("acme/b", "two"))
	cut := sh.succeeds("app", "list", "--org", "acme", "--limit", "2", "-o", "json").stdout
	wantContains(t, cut, `"nextCursor": "two"`)
	asked := server.asked()
	wantRequests(t, asked[len(asked)-2:],
		&ignitev1.ListAppsRequest{OrganizationName: "acme", Limit: 2},
		&ignitev1.ListAppsRequest{OrganizationName: "acme", Limit: 1, Cursor: "one"})
}

func TestVersionListFollowsPages(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	page := func(version uint32, next string) *ignitev1.ListAppVersionsResponse {
		return &ignitev1.ListAppVersionsResponse{
			Versions: []*ignitev1.AppVersionInfo{{Version: version}}, NextCursor: next,
		}
	}
	server.on("ListAppVersions", page(2, "one"), page(1, ""))
	all := newShell(t, server).succeeds("version", "list", "acme:hello", "-o", "json").stdout
	wantContains(t, all, `"version": 2`)
	wantContains(t, all, `"version": 1`)
}

func TestDeployOfANewApp(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetApp", status.Error(codes.NotFound, "there is no app acme:hello"))
	server.on("CreateApp", &ignitev1.CreateAppResponse{})
	answerDeploy(server)
	dir := writeFiles(t, "Hello", map[string]string{"handler.py": "def handler(payload, ctx): return 1\n"})
	r := newShell(t, server).succeeds("app", "deploy", dir, "--org", "acme", "--env", "A=1")
	wantText(t, r.stdout, "http://hello-acme.ignite.localhost:8080\n")
	wantText(t, withoutSize(r.stderr), `Creating acme:hello
Uploading
Compiling acme:hello
Publishing acme:hello
acme:hello version 1 serves
`)
	asked := server.asked()
	archive := asked[2].(*ignitev1.SaveDraftRequest).GetCode().GetCompile().GetSourceCode()
	wantRequests(t, asked,
		&ignitev1.GetAppRequest{OrganizationName: "acme", AppName: "hello"},
		&ignitev1.CreateAppRequest{OrganizationName: "acme", Name: "hello", Env: map[string]string{"A": "1"}},
		&ignitev1.SaveDraftRequest{OrganizationName: "acme", AppName: "hello", Code: pythonSource(archive)},
		&ignitev1.CompileDraftRequest{OrganizationName: "acme", AppName: "hello"},
		&ignitev1.PublishDraftRequest{OrganizationName: "acme", AppName: "hello"})
	if files := unpack(t, archive); files["handler.py"] == "" {
		t.Errorf("the archive holds %v", files)
	}
}

func TestDeployOfAnAppThatExistsReplacesItsEnvironment(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetApp", &ignitev1.GetAppResponse{App: &ignitev1.AppMeta{Env: map[string]string{"A": "0", "OLD": "x"}}})
	server.on("UpdateAppConfig", &ignitev1.UpdateAppConfigResponse{})
	answerDeploy(server)
	dir := writeFiles(t, "web", map[string]string{"Procfile": "web: bin/web\n"})
	r := newShell(t, server).succeeds("app", "deploy", dir, "--name", "acme:site", "--env", "A=1", "-o", "json")
	wantContains(t, r.stdout, `"publicUrls": [`)
	wantContains(t, r.stderr, "Warning: no longer in the environment: OLD\n")
	asked := server.asked()
	wantRequests(t, asked[3:4], &ignitev1.UpdateAppConfigRequest{ // after the draft has compiled
		OrganizationName: "acme", AppName: "site", ReplaceEnv: &ignitev1.EnvVars{Values: map[string]string{"A": "1"}},
	})
	if asked[1].(*ignitev1.SaveDraftRequest).GetCode().GetImage().GetFromCode() == nil {
		t.Errorf("the draft is not built from an archive: %v", asked[1])
	}
}

func TestDeployStopsWhenTheCodeDoesNotCompile(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetApp", &ignitev1.GetAppResponse{App: &ignitev1.AppMeta{}})
	answerDeploy(server)
	server.on("CompileDraft", &ignitev1.CompileDraftResponse{
		Log: "ERROR: no such package\n",
		Draft: &ignitev1.DraftInfo{
			Status: ignitev1.VersionStatus_VERSION_STATUS_FAILED, Error: "pip ended with exit code 1",
		},
	})
	dir := writeFiles(t, "hello", map[string]string{"handler.py": ""})
	r := newShell(t, server).run("app", "deploy", dir, "--org", "acme")
	if r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
	wantContains(t, r.stderr, "ERROR: no such package\nError: acme:hello does not compile: pip ended with exit code 1\n")
	if n := len(server.asked()); n != 3 {
		t.Errorf("%d requests, want 3: neither settings nor code may reach what serves", n)
	}
}

func TestDraftSaveAndSchemas(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("SaveDraft", &ignitev1.SaveDraftResponse{Draft: &ignitev1.DraftInfo{
		Status: ignitev1.VersionStatus_VERSION_STATUS_DRAFT, CodeHash: "9f1c", CodeKind: ignitev1.CodeKind_CODE_KIND_SDK,
	}})
	dir := writeFiles(t, "code", map[string]string{"handler.py": "x = 1\n", "schema.json": `{"type":"object"}`})
	r := newShell(t, server).succeeds("draft", "save", "acme:hello", "-c", filepath.Join(dir, "handler.py"),
		"--input-schema", "@"+filepath.Join(dir, "schema.json"), "--output-schema=")
	wantText(t, r.stdout, "Status:      draft\nKind:        sdk\nCode hash:   9f1c\n")
	request := server.asked()[0].(*ignitev1.SaveDraftRequest)
	if request.GetInputSchema() != `{"type":"object"}` || request.OutputSchema == nil {
		t.Errorf("schemas %q and %v", request.GetInputSchema(), request.OutputSchema)
	}
	files := unpack(t, request.GetCode().GetCompile().GetSourceCode())
	if len(files) != 1 || files["handler.py"] != "x = 1\n" {
		t.Errorf("the archive holds %v", files)
	}
}

func TestDraftInfoWithoutADraft(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetDraftInfo", status.Error(codes.NotFound, "no draft"))
	server.on("GetApp", &ignitev1.GetAppResponse{App: &ignitev1.AppMeta{}})
	sh := newShell(t, server)
	wantText(t, sh.succeeds("draft", "status", "acme:hello").stdout, "{\"status\":\"no draft\"}\n")
	wantText(t, sh.succeeds("draft", "info", "acme:hello", "-o", "yaml").stdout, "status: no draft\n")

	server.on("GetApp", status.Error(codes.NotFound, "there is no app acme:hello"))
	if r := sh.run("draft", "info", "acme:hello"); r.code != 5 {
		t.Errorf("exit code %d for an app that does not exist", r.code)
	}
}

func TestVersionCode(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetAppCode", &ignitev1.GetAppCodeResponse{SourceCode: []byte("\x1f\x8b\x00archive")})
	sh := newShell(t, server)
	wantText(t, sh.succeeds("version", "code", "acme:hello").stdout, "\x1f\x8b\x00archive")
	file := filepath.Join(t.TempDir(), "code.tar.gz")
	wantText(t, sh.succeeds("version", "code", "acme:hello", "--file", file).stdout, "")
	content, err := os.ReadFile(file)
	if err != nil || string(content) != "\x1f\x8b\x00archive" {
		t.Errorf("the file holds %q, %v", content, err)
	}
}

func answerDeploy(server *contractServer) {
	server.on("SaveDraft", &ignitev1.SaveDraftResponse{})
	server.on("CompileDraft", &ignitev1.CompileDraftResponse{})
	server.on("PublishDraft", &ignitev1.PublishDraftResponse{Version: 1, App: &ignitev1.AppMeta{
		PublicUrls: []string{"http://hello-acme.ignite.localhost:8080"},
	}})
}

func pythonSource(archive []byte) *ignitev1.CodeSource {
	python := &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Python{Python: &ignitev1.PythonRuntime{}}}
	compile := &ignitev1.CompileSource{Runtime: python, SourceCode: archive}
	return &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Compile{Compile: compile}}
}

// withoutSize takes the size out of the line about the upload.
func withoutSize(lines string) string {
	before, rest, _ := strings.Cut(lines, "Uploading ")
	_, after, _ := strings.Cut(rest, "\n")
	return before + "Uploading\n" + after
}
