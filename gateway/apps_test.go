package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

var (
	errBadArchive = fmt.Errorf("%w: ../evil leaves the folder", store.ErrInvalidCode)
	errBroken     = fmt.Errorf("%w: line 1: oops", store.ErrInvalidCode)
)

func python(archive string) *ignitev1.CodeSource {
	return &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Compile{Compile: &ignitev1.CompileSource{
		Runtime:    &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Python{Python: &ignitev1.PythonRuntime{}}},
		SourceCode: []byte(archive),
	}}}
}

func TestAppIsCreatedAsTheReferenceSays(t *testing.T) {
	t.Parallel()
	s := start(t)
	response := s.do(t, "POST", "/v1/ignite/app/acme", `{"name":"hello","resourceTier":"RESOURCE_TIER_MEDIUM","env":{"A":"1"}}`)
	var got map[string]any
	if err := json.Unmarshal([]byte(readAll(t, response)), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"appId": "acme/hello", "deploymentState": "DEPLOYMENT_STATE_CREATED", "appliedTier": "RESOURCE_TIER_MEDIUM",
		"appliedLimits": map[string]any{"memoryMb": 512.0, "cpuMillicores": 500.0, "timeoutSecs": 120.0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("answer is %v, want %v", got, want)
	}
	wantProblem(t, s.do(t, "POST", "/v1/ignite/app/acme", `{"name":"hello"}`), 409, codes.AlreadyExists, "hello")
}

func TestLimitsOverrideTheTier(t *testing.T) {
	t.Parallel()
	s := start(t)
	for tier, want := range map[ignitev1.ResourceTier][2]uint32{1: {256, 250}, 2: {512, 500}, 3: {1024, 1000}, 4: {2048, 2000}} {
		created, err := s.client.CreateApp(s.as(t, "acme"), &ignitev1.CreateAppRequest{
			OrganizationName: "acme", Name: fmt.Sprintf("app%d", tier), ResourceTier: tier,
			Limits: &ignitev1.ResourceLimits{TimeoutSecs: 7},
		})
		if err != nil {
			t.Fatal(err)
		}
		limits := created.GetAppliedLimits()
		if limits.GetMemoryMb() != want[0] || limits.GetCpuMillicores() != want[1] || limits.GetTimeoutSecs() != 7 {
			t.Errorf("%v applies %v, want %v and 7 s", tier, limits, want)
		}
	}
}

func TestEveryFaultOfAnAppIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := s.client.CreateApp(s.as(t, "acme"), &ignitev1.CreateAppRequest{
		OrganizationName: "acme", Name: "-Bad", ResourceTier: 99, StorageMode: 77, InputSchema: "{", OutputSchema: "3",
		Env:         map[string]string{"1X": "", "PORT": "80", "NUL": "\x00"},
		Limits:      &ignitev1.ResourceLimits{MemoryMb: 1, CpuMillicores: 1 << 30, TimeoutSecs: 1 << 30},
		Scaling:     &ignitev1.ScalingConfig{ReservedCapacity: 11, ScaleMetric: 9, MaxReplicas: 5},
		Ports:       []uint32{80, 0, 80},
		HealthPath:  "health",
		Description: strings.Repeat("x", 5000), MaxConcurrency: 1 << 20,
		Code: &ignitev1.CodeSource{},
	})
	wantCode(t, err, codes.InvalidArgument)
	got := violatedFields(err)
	want := []string{
		"name", "resource_tier", "storage_mode", "scaling.scale_metric", "description", "env", "env", "env",
		"limits.memory_mb", "limits.cpu_millicores", "limits.timeout_secs", "scaling.reserved_capacity",
		"input_schema", "output_schema", "max_concurrency", "ports[1]", "ports[2]", "health_path", "code",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("fields are %v, want %v", got, want)
	}
}

func violatedFields(err error) []string {
	var fields []string
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, violation := range bad.GetFieldViolations() {
				fields = append(fields, violation.GetField())
			}
		}
	}
	return fields
}

func TestUpdateChangesWhatIsPresent(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx := s.as(t, "acme")
	must(s.client.CreateApp(ctx, &ignitev1.CreateAppRequest{
		OrganizationName: "acme", Name: "hello", Description: "before", Env: map[string]string{"A": "1", "B": "2"}, Ports: []uint32{8080},
		Limits: &ignitev1.ResourceLimits{MemoryMb: 100}, MaxConcurrency: 3,
	}))
	updated, err := s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{
		OrganizationName: "acme", AppName: "hello", Env: map[string]string{"A": "", "C": "3"}, Description: new(""),
		ResourceTier: new(ignitev1.ResourceTier_RESOURCE_TIER_LARGE),
	})
	if err != nil {
		t.Fatal(err)
	}
	app := updated.GetApp()
	if !reflect.DeepEqual(app.GetEnv(), map[string]string{"B": "2", "C": "3"}) || app.GetDescription() != "" ||
		app.GetResourceTier() != ignitev1.ResourceTier_RESOURCE_TIER_LARGE || app.GetMaxConcurrency() != 3 ||
		app.GetLimits().GetMemoryMb() != 100 || app.GetLimits().GetCpuMillicores() != 1000 || app.GetPorts()[0] != 8080 {
		t.Errorf("app is %v", app)
	}
	replaced := must(s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{
		OrganizationName: "acme", AppName: "hello", ReplaceEnv: &ignitev1.EnvVars{Values: map[string]string{"X": "1"}},
		Env: map[string]string{"Y": "2"}, Limits: &ignitev1.ResourceLimits{},
	}))
	if !reflect.DeepEqual(replaced.GetApp().GetEnv(), map[string]string{"X": "1", "Y": "2"}) || replaced.GetApp().GetLimits().GetMemoryMb() != 1024 {
		t.Errorf("app is %v", replaced.GetApp())
	}
	opened := must(s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{
		OrganizationName: "acme", AppName: "hello", AllowUnauthenticated: new(true), CorsOrigins: []string{"https://a.example"},
		MaxAsyncInFlight: new(uint32(7)), Scaling: &ignitev1.ScalingConfig{ScaledownPeriodSecs: 5},
	}))
	if app := opened.GetApp(); !app.GetAllowUnauthenticated() || len(app.GetCorsOrigins()) != 1 || app.GetMaxAsyncInFlight() != 7 || len(opened.GetNotes()) != 1 {
		t.Errorf("app is %v with notes %q", app, opened.GetNotes())
	}
	shut := must(s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "hello", CorsOrigins: []string{""}}))
	if app := shut.GetApp(); len(app.GetCorsOrigins()) != 0 || !app.GetAllowUnauthenticated() {
		t.Errorf("app is %v", app)
	}
	_, err = s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "hello", HealthPath: new("x")})
	wantCode(t, err, codes.InvalidArgument, "health_path")
	_, err = s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "none"})
	wantCode(t, err, codes.NotFound, "none")
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx := s.as(t, "acme")
	for i := range 5 {
		must(s.client.CreateApp(ctx, &ignitev1.CreateAppRequest{OrganizationName: "acme", Name: fmt.Sprintf("app%d", i)}))
	}
	must(s.client.CreateApp(s.as(t, "other"), &ignitev1.CreateAppRequest{OrganizationName: "other", Name: "app9"}))
	var names []string
	request := &ignitev1.ListAppsRequest{OrganizationName: "acme", Limit: 2}
	for pages := 1; ; pages++ {
		page, err := s.client.ListApps(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		for _, app := range page.GetApps() {
			names = append(names, app.GetName())
		}
		if request.Cursor = page.GetNextCursor(); request.GetCursor() == "" {
			if pages != 3 {
				t.Errorf("5 apps came in %d pages of 2", pages)
			}
			break
		}
	}
	if want := []string{"app0", "app1", "app2", "app3", "app4"}; !reflect.DeepEqual(names, want) {
		t.Errorf("names are %v, want %v", names, want)
	}
	wantProblem(t, s.do(t, "GET", "/v1/ignite/app/acme?cursor=nonsense", ""), 400, codes.InvalidArgument, "cursor")
	wantProblem(t, s.do(t, "GET", "/v1/ignite/app/acme?limit=many", ""), 400, codes.InvalidArgument, "limit")
}

func TestDeletedAppIsGone(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	if response := s.do(t, "DELETE", "/v1/ignite/app/acme/hello", ""); response.StatusCode != 200 {
		t.Fatalf("delete answered %d: %s", response.StatusCode, readAll(t, response))
	}
	wantProblem(t, s.do(t, "GET", "/v1/ignite/app/acme/hello", ""), 404, codes.NotFound, "hello")
	wantProblem(t, s.do(t, "DELETE", "/v1/ignite/app/acme/hello", ""), 404, codes.NotFound, "hello")
}

func TestStateIsTheSumOfAllEngines(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	ctx := s.as(t, "acme")
	request := &ignitev1.GetAppStateRequest{OrganizationName: "acme", AppName: "hello"}
	if state := must(s.client.GetAppState(ctx, request)); state.GetDeploymentState() != ignitev1.DeploymentState_DEPLOYMENT_STATE_IDLE {
		t.Errorf("without engines the state is %v", state)
	}
	answer(t, s, pod.Census{Starting: 1, InFlight: 2, Desired: 1, Queued: 40, Waiting: 1, Failed: 2, LastError: "it exited"})
	if state := must(s.client.GetAppState(ctx, request)); state.GetDeploymentState() != ignitev1.DeploymentState_DEPLOYMENT_STATE_STARTING {
		t.Errorf("with a pod on its way the state is %v", state)
	}
	answer(t, s, pod.Census{Ready: 2, InFlight: 3, Desired: 2, Queued: 41, Draining: 1, Frozen: 1, FrozenBytes: 1 << 20, Serving: []uint32{1}})
	state := must(s.client.GetAppState(ctx, request))
	if state.GetReadyReplicas() != 2 || state.GetStartingReplicas() != 1 || state.GetInFlight() != 5 || state.GetLastError() != "it exited" ||
		state.GetActiveVersion() != 1 || state.GetDeploymentState() != ignitev1.DeploymentState_DEPLOYMENT_STATE_RUNNING {
		t.Errorf("state is %v", state)
	}
	if state.GetDesiredReplicas() != 3 || state.GetDrainingReplicas() != 1 || state.GetFrozenReplicas() != 1 || state.GetFrozenBytes() != 1<<20 ||
		state.GetWaiting() != 1 || state.GetQueued() != 41 || state.GetFailedVersion() != 2 || !slices.Equal(state.GetServingVersions(), []uint32{1}) {
		t.Errorf("state is %v", state)
	}
	app := must(s.client.GetApp(ctx, &ignitev1.GetAppRequest{OrganizationName: "acme", AppName: "hello"})).GetApp()
	if app.GetDeploymentState() != ignitev1.DeploymentState_DEPLOYMENT_STATE_RUNNING {
		t.Errorf("GetApp says %v", app.GetDeploymentState())
	}
}

// answer is an engine that has the same pods of every app of acme.
func answer(t testing.TB, s *setup, c pod.Census) {
	t.Helper()
	reply := func(question []byte) []byte {
		var request pod.CensusRequest
		if err := json.Unmarshal(question, &request); err != nil || request.Org != "acme" {
			t.Errorf("question is %s", question)
		}
		return must(json.Marshal(c))
	}
	if err := s.stream.Answer(t.Context(), pod.CensusTopic, reply); err != nil {
		t.Fatal(err)
	}
}
