package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const anApp = "/v1/ignite/app/acme/hello"

// routes are all routes of the API that need a token, with the scope that they need.
var routes = []struct{ method, path, body, scope string }{
	{"POST", "/v1/ignite/app/acme", `{"name":"another"}`, "DeployApp"},
	{"GET", "/v1/ignite/app/acme", "", "GetApp"},
	{"GET", anApp, "", "GetApp"},
	{"PATCH", anApp + "/config", `{"description":"x"}`, "DeployApp"},
	{"GET", anApp + "/state", "", "GetApp"},
	{"GET", anApp + "/draft", "", "GetApp"},
	{"POST", anApp + "/draft", `{"code":{"image":{"prebuilt":{"imageRef":"x"}}}}`, "DeployApp"},
	{"POST", anApp + "/draft/compile", "{}", "DeployApp"},
	{"POST", anApp + "/draft/test", "{}", "DeployApp"},
	{"POST", anApp + "/draft/publish", "{}", "DeployApp"},
	{"GET", "/v1/ignite/compile/01HZX9/logs", "", "GetApp"},
	{"GET", anApp + "/versions", "", "GetApp"},
	{"GET", anApp + "/versions/1", "", "GetApp"},
	{"POST", anApp + "/versions/1/test", "{}", "DeployApp"},
	{"GET", anApp + "/code", "", "GetApp"},
	{"GET", anApp + "/code/versions/1", "", "GetApp"},
	{"POST", anApp + "/rollback", `{"version":1}`, "DeployApp"},
	{"POST", anApp + "/invoke", "{}", "InvokeApp"},
	{"POST", anApp + "/invoke-async", "{}", "InvokeApp"},
	{"POST", anApp + "/invoke-async/batch", `{"requests":[{}]}`, "InvokeApp"},
	{"POST", "/v1/ignite/executions/exec_01HZX9/redrive", "{}", "InvokeApp"},
	{"POST", "/v1/ignite/executions/redrive", `{"filter":{"organizationName":"acme"}}`, "InvokeApp"},
	{"POST", "/v1/ignite/executions/purge", `{"filter":{"organizationName":"acme"}}`, "InvokeApp"},
	{"GET", anApp + "/executions", "", "GetExecution"},
	{"GET", "/v1/ignite/executions?organizationName=acme", "", "GetExecution"},
	{"GET", "/v1/ignite/executions/exec_01HZX9", "", "GetExecution"},
	{"GET", "/v1/ignite/executions/exec_01HZX9/response", "", "GetExecution"},
	{"POST", "/v1/ignite/executions/exec_01HZX9/cancel", "{}", "InvokeApp"},
	{"GET", "/v1/ignite/executions/exec_01HZX9/watch", "", "GetExecution"},
	{"DELETE", anApp, "", "DeployApp"},
}

func TestEveryRouteNeedsATokenItsScopeAndItsOrganization(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	for _, route := range routes {
		t.Run(route.method+" "+route.path, func(t *testing.T) {
			ask := func(token string) reply {
				return s.do(t, route.method, route.path, route.body, func(r *http.Request) {
					if r.Header.Del("Authorization"); token != "" {
						r.Header.Set("Authorization", token)
					}
				})
			}
			wantProblem(t, ask(""), 401, codes.Unauthenticated, "bearer token")
			wantProblem(t, ask("Bearer forged."+s.token("acme")), 401, codes.Unauthenticated)
			wantProblem(t, ask("Basic "+s.token("acme")), 401, codes.Unauthenticated)
			wantProblem(t, ask("Bearer "+s.token("acme", otherScopes(route.scope)...)), 403, codes.PermissionDenied, route.scope)
			other := ask("Bearer " + s.token("other"))
			if strings.Contains(route.path, "/executions/exec_") || strings.Contains(route.path, "/compile/") {
				wantProblem(t, other, 404, codes.NotFound)
				return
			}
			wantProblem(t, other, 403, codes.PermissionDenied, "acme")
			if response := ask("Bearer " + s.token("acme", route.scope)); response.StatusCode == 401 || response.StatusCode == 403 {
				t.Errorf("the owner is answered %d: %s", response.StatusCode, readAll(t, response))
			}
		})
	}
}

// Every route of the OpenAPI document is there, and is one of those above.
func TestDocumentedRoutesAreThere(t *testing.T) {
	t.Parallel()
	s := start(t)
	var document struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal([]byte(readAll(t, s.do(t, "GET", "/openapi.json", ""))), &document); err != nil {
		t.Fatal(err)
	}
	delete(document.Paths, "/v1/ignite/health") // which needs no token
	known := map[string]bool{}
	for _, route := range routes {
		path, _, _ := strings.Cut(route.path, "?")
		known[route.method+" "+path] = true
	}
	names := strings.NewReplacer("{organizationName}", "acme", "{appName}", "hello", "{version}", "1", "{executionId}", "exec_01HZX9", "{deployId}", "01HZX9")
	for path, methods := range document.Paths {
		for method := range methods {
			method, path := strings.ToUpper(method), names.Replace(path)
			if !known[method+" "+path] {
				t.Errorf("%s %s is documented, and its access is not tested", method, path)
			}
			wantProblem(t, s.do(t, method, path, "", func(r *http.Request) { r.Header.Del("Authorization") }), 401, codes.Unauthenticated)
		}
	}
}

func otherScopes(scope string) []string {
	var others []string
	for _, other := range []string{"DeployApp", "GetApp", "InvokeApp", "GetExecution"} {
		if other != scope {
			others = append(others, other)
		}
	}
	return others
}

func TestPublicAppsMayBeInvokedAndNothingElse(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "public", "hello", http.HandlerFunc(echo))
	ctx := s.as(t, "acme")
	if f := s.invoke(t, ctx, &ignitev1.InvokeRequest{OrganizationName: "public", AppName: "hello"}); f.err != nil {
		t.Errorf("invoke: %v", f.err)
	}
	_, err := s.client.GetApp(ctx, &ignitev1.GetAppRequest{OrganizationName: "public", AppName: "hello"})
	wantCode(t, err, codes.PermissionDenied)
	_, err = s.client.DeleteApp(ctx, &ignitev1.DeleteAppRequest{OrganizationName: "public", AppName: "hello"})
	wantCode(t, err, codes.PermissionDenied)
}

func TestOverGRPCTheSameHolds(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	request := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}
	check := func(ctx context.Context, want codes.Code) {
		t.Helper()
		wantCode(t, s.invoke(t, ctx, request).err, want)
		_, err := s.client.InvokeAsync(ctx, request)
		wantCode(t, err, want)
	}
	with := func(authorization string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", authorization)
	}
	check(t.Context(), codes.Unauthenticated)
	check(with(s.token("acme")), codes.Unauthenticated)
	check(with("Bearer x.y.z"), codes.Unauthenticated)
	check(s.as(t, "acme", "GetApp"), codes.PermissionDenied)
	check(s.as(t, "other"), codes.PermissionDenied)
	health, err := s.client.HealthCheck(t.Context(), &ignitev1.HealthCheckRequest{})
	if err != nil || health.GetStatus() != "ok" || health.GetVersion() != "1.2.3" {
		t.Errorf("health is %v, %v", health, err)
	}
}
