package main

import (
	"testing"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func helloApp() *ignitev1.AppMeta {
	return &ignitev1.AppMeta{
		Id: "acme/hello", Name: "hello", OrganizationName: "acme", Description: "says hello",
		Runtime:         &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Python{Python: &ignitev1.PythonRuntime{}}},
		Limits:          &ignitev1.ResourceLimits{MemoryMb: 512, CpuMillicores: 500, TimeoutSecs: 30},
		Env:             map[string]string{"B": "yes", "A": "1"},
		ResourceTier:    ignitev1.ResourceTier_RESOURCE_TIER_MEDIUM,
		DeploymentState: ignitev1.DeploymentState_DEPLOYMENT_STATE_IDLE,
		Scaling:         &ignitev1.ScalingConfig{MaxReplicas: 3, ScaledownPeriodSecs: 60},
		Retry:           &ignitev1.RetryPolicy{MaxAttempts: 1, InitialBackoffMs: 1000},
		ActiveVersion:   2,
		PublicUrls:      []string{"http://hello-acme.ignite.localhost:8080"},
		CreatedAtMs:     1716900000000,
	}
}

func TestOutputFormats(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetApp", &ignitev1.GetAppResponse{App: helloApp()})
	sh := newShell(t, server)
	table := `App:              acme/hello
Description:      says hello
State:            idle
Active version:   2
URL:              http://hello-acme.ignite.localhost:8080
Runtime:          python
Tier:             medium
Limits:           512 MB, 500 millicores, 30 s a call
Scaling:          at most 3 pods, down after 60 s
Retries:          none of the app's own failures
Environment:      A=1
                  B=yes
Created:          2024-05-28T12:40:00Z
`
	wantText(t, sh.succeeds("app", "get", "acme:hello").stdout, table)
	wantText(t, sh.succeeds("app", "get", "acme:hello", "-o", "wide").stdout, table)
	wantText(t, sh.succeeds("app", "get", "acme:hello", "-o", "json").stdout, `{
  "app": {
    "id": "acme/hello",
    "name": "hello",
    "runtime": {
      "python": {}
    },
    "limits": {
      "memoryMb": 512,
      "cpuMillicores": 500,
      "timeoutSecs": 30
    },
    "env": {
      "A": "1",
      "B": "yes"
    },
    "resourceTier": "RESOURCE_TIER_MEDIUM",
    "scaling": {
      "maxReplicas": 3,
      "scaledownPeriodSecs": 60
    },
    "deploymentState": "DEPLOYMENT_STATE_IDLE",
    "organizationName": "acme",
    "activeVersion": 2,
    "description": "says hello",
    "publicUrls": [
      "http://hello-acme.ignite.localhost:8080"
    ],
    "createdAtMs": "1716900000000",
    "retry": {
      "maxAttempts": 1,
      "initialBackoffMs": 1000
    }
  }
}
`)
	wantText(t, sh.succeeds("app", "get", "acme:hello", "-o", "yaml").stdout, `app:
  id: acme/hello
  name: hello
  runtime:
    python: {}
  limits:
    memoryMb: 512
    cpuMillicores: 500
    timeoutSecs: 30
  env:
    A: "1"
    B: "yes"
  resourceTier: RESOURCE_TIER_MEDIUM
  scaling:
    maxReplicas: 3
    scaledownPeriodSecs: 60
  deploymentState: DEPLOYMENT_STATE_IDLE
  organizationName: acme
  activeVersion: 2
  description: says hello
  publicUrls:
    - http://hello-acme.ignite.localhost:8080
  createdAtMs: "1716900000000"
  retry:
    maxAttempts: 1
    initialBackoffMs: 1000
`)
}

func TestTables(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("ListApps", &ignitev1.ListAppsResponse{Apps: []*ignitev1.AppMeta{
		helloApp(), {Id: "acme/a-longer-name", DeploymentState: ignitev1.DeploymentState_DEPLOYMENT_STATE_CREATED},
	}})
	server.on("ListAppVersions", &ignitev1.ListAppVersionsResponse{Versions: []*ignitev1.AppVersionInfo{{
		Version: 2, Status: ignitev1.VersionStatus_VERSION_STATUS_ACTIVE, CodeKind: ignitev1.CodeKind_CODE_KIND_UPLOAD_IMAGE,
		CodeHash: "0123456789abcdef", CreatedAtMs: 1716900000000,
	}}})
	server.on("GetAppState", &ignitev1.GetAppStateResponse{
		DeploymentState: ignitev1.DeploymentState_DEPLOYMENT_STATE_FAILED, ActiveVersion: 2,
		LastError: "exit status 1\n\x1b[31mModuleNotFoundError\x1b[0m",
	})
	server.on("CreateApp", &ignitev1.CreateAppResponse{
		AppId: "acme/hello", DeploymentState: ignitev1.DeploymentState_DEPLOYMENT_STATE_CREATED,
		AppliedTier:   ignitev1.ResourceTier_RESOURCE_TIER_SMALL,
		AppliedLimits: &ignitev1.ResourceLimits{MemoryMb: 256},
	})
	server.on("DeleteApp", &ignitev1.DeleteAppResponse{})
	server.on("RollbackApp", &ignitev1.RollbackAppResponse{App: &ignitev1.AppMeta{ActiveVersion: 1}})
	sh := newShell(t, server)
	wantText(t, sh.succeeds("app", "ls", "--org", "acme").stdout, `APP                  STATE     VERSION   TIER     URL
acme/hello           idle      2         medium   http://hello-acme.ignite.localhost:8080
acme/a-longer-name   created
`)
	wantText(t, sh.succeeds("version", "list", "acme:hello").stdout,
		`VERSION   STATUS   KIND           RUNTIME   TIER   PUBLISHED              CODE
2         active   upload_image                    2024-05-28T12:40:00Z   0123456789ab
`)
	wantText(t, sh.succeeds("app", "state", "acme:hello").stdout, `State:             failed
Active version:    2
Pods wanted:       0
Pods ready:        0
Pods starting:     0
Calls in flight:   0
Last error:        exit status 1
                   [31mModuleNotFoundError[0m
`)
	wantText(t, sh.succeeds("app", "create", "acme:hello").stdout,
		"App:      acme/hello\nState:    created\nTier:     small\nLimits:   256 MB\n")
	wantText(t, sh.succeeds("app", "delete", "acme:hello").stdout, "Deleted acme:hello\n")
	wantText(t, sh.succeeds("app", "delete", "acme:hello", "-o", "json").stdout, "{}\n")
	wantText(t, sh.succeeds("version", "rollback", "acme:hello").stdout, "acme:hello version 1 serves\n")
}

func TestExecutionTable(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	execution := &ignitev1.Execution{
		Id: "exec_1", AppId: "acme/hello", Status: ignitev1.ExecutionStatus_EXECUTION_STATUS_FAILED,
		Error:           &ignitev1.ExecutionError{Code: "APP_ERROR", Message: "the app answered 500"},
		FunctionVersion: 3, Attempt: 4, MaxAttempts: 2, AppFailures: 2, PlatformFailures: 1, Postponements: 1,
		ResponseStatusCode: 500, DueAtMs: 1716900060000, RedrivenFrom: "exec_0", OutputChunks: 7,
		CreatedAtMs: 1716900000000, Result: []byte(`{"error":"boom"}`),
		Metrics: &ignitev1.ExecutionMetrics{ExecutionMs: 142, ResultSizeBytes: 16, ResourceTier: "Medium", QueueMs: 2},
	}
	server.on("GetExecution", &ignitev1.GetExecutionResponse{Execution: execution})
	sh := newShell(t, server)
	wantText(t, sh.succeeds("execution", "get", "exec_1").stdout, `Execution:           exec_1
App:                 acme/hello
Version:             3
Status:              FAILED
Error:               APP_ERROR: the app answered 500
Answer:              500
Attempt:             4
App failures:        2 of 2
Platform failures:   1
Postponed:           1
Waits until:         2024-05-28T12:41:00Z
Created:             2024-05-28T12:40:00Z
Tier:                Medium
Queued:              2ms
Cold start:          0s
Ran:                 142ms
Result size:         16 bytes
Output chunks:       7
Redriven from:       exec_0

{
  "error": "boom"
}
`)
	wantText(t, sh.succeeds("exec", "get", "exec_1", "--result-only").stdout, `{"error":"boom"}`)
	wantContains(t, sh.succeeds("exec", "get", "exec_1", "-o", "json").stdout, `"executionMs": "142"`)
}

func TestResultText(t *testing.T) {
	t.Parallel()
	for result, want := range map[string]string{
		`{"a":1}`:        "{\n  \"a\": 1\n}\n",
		"text\n":         "text\n",
		"bell\a":         "bell\n",
		"\x00\x01binary": "The result is binary; --result-only writes it as it is.\n",
		"\xff":           "The result is binary; --result-only writes it as it is.\n",
	} {
		wantText(t, resultText([]byte(result)), want)
	}
}
