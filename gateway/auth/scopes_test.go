package auth_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dodil.io/ignite/gateway/auth"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// serviceMethods answers the full name of every method that the service has.
func serviceMethods() []string {
	service := ignitev1.File_dodil_ignite_v1_ignite_compute_proto.Services().ByName("ComputeService")
	var names []string
	for i := range service.Methods().Len() {
		names = append(names, "/"+string(service.FullName())+"/"+string(service.Methods().Get(i).Name()))
	}
	return names
}

func TestTableHasExactlyTheMethodsOfTheService(t *testing.T) {
	t.Parallel()
	methods := serviceMethods()
	for _, method := range methods {
		if _, ok := auth.Scopes[method]; !ok {
			t.Errorf("%s is missing", method)
		}
	}
	for method, scope := range auth.Scopes {
		if strings.HasPrefix(method, "/dodil.") && !slices.Contains(methods, method) {
			t.Errorf("%s does not exist", method)
		}
		if scope != "" && !slices.Contains(auth.AllScopes(), scope) {
			t.Errorf("%s needs %q, which nobody can have", method, scope)
		}
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	service := "/" + ignitev1.ComputeService_ServiceDesc.ServiceName + "/"
	for method, scope := range map[string]string{
		service + "CreateApp":      auth.DeployApp,
		service + "RollbackApp":    auth.DeployApp,
		service + "GetAppCode":     auth.GetApp,
		service + "Invoke":         auth.InvokeApp,
		service + "WatchExecution": auth.GetExecution,
	} {
		if err := auth.Authorize(auth.Principal{Scopes: []string{scope}}, method); err != nil {
			t.Errorf("%s with %s: %v", method, scope, err)
		}
		others := slices.DeleteFunc(auth.AllScopes(), func(s string) bool { return s == scope })
		err := auth.Authorize(auth.Principal{Scopes: others}, method)
		if !errors.Is(err, auth.ErrForbidden) || !strings.Contains(err.Error(), scope) || !strings.Contains(err.Error(), method) {
			t.Errorf("%s without %s: %v", method, scope, err)
		}
		if auth.IsOpen(method) {
			t.Errorf("%s is open", method)
		}
	}
}

func TestOpenMethodsNeedNothing(t *testing.T) {
	t.Parallel()
	for _, method := range []string{
		ignitev1.ComputeService_HealthCheck_FullMethodName,
		"/grpc.health.v1.Health/Check",
		"/grpc.health.v1.Health/Watch",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	} {
		if err := auth.Authorize(auth.Principal{}, method); err != nil || !auth.IsOpen(method) {
			t.Errorf("%s is closed: %v", method, err)
		}
	}
}

func TestUnknownMethodsAreClosedToAll(t *testing.T) {
	t.Parallel()
	for _, method := range []string{
		"", "/", "Invoke", "/Invoke",
		"/dodil.ignite.v1.ComputeService/",
		"/dodil.ignite.v1.ComputeService/Unheard",
		"/dodil.ignite.v1.ComputeService/invoke",
		"dodil.ignite.v1.ComputeService/Invoke",
		"/dodil.ignite.v2.ComputeService/Invoke",
		"/grpc.health.v1.Healthy/Check",
		"/grpc.health.v1.Health/Check/Invoke",
	} {
		err := auth.Authorize(auth.Principal{Scopes: auth.AllScopes()}, method)
		if !errors.Is(err, auth.ErrForbidden) || auth.IsOpen(method) {
			t.Errorf("%q: got %v", method, err)
		}
	}
}

func TestMembership(t *testing.T) {
	t.Parallel()
	p := auth.Principal{Orgs: map[string]string{"beta": "2", "acme": "1"}}
	for org, want := range map[string]struct{ in, invoke bool }{
		"acme":   {true, true},
		"beta":   {true, true},
		"public": {false, true},
		"other":  {false, false},
		"":       {false, false},
	} {
		in, invoke := p.In(org), p.MayInvoke(org)
		if (in == nil) != want.in || (invoke == nil) != want.invoke {
			t.Errorf("%q: in: %v, invoke: %v", org, in, invoke)
		}
		if in != nil && (!errors.Is(in, auth.ErrForbidden) || !strings.Contains(in.Error(), `"`+org+`"`)) {
			t.Errorf("%q: got %v", org, in)
		}
	}
	if home, err := p.Home(); home != "acme" || err != nil {
		t.Errorf("home: %q, %v", home, err)
	}
	if _, err := (auth.Principal{}).Home(); !errors.Is(err, auth.ErrForbidden) {
		t.Errorf("home of nobody: %v", err)
	}
}
