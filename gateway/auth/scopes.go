package auth

import (
	"fmt"
	"strings"
)

// The scopes that a token may hold.
const (
	// DeployApp is for everything that changes an app.
	DeployApp = "DeployApp"
	// GetApp is for reading apps, their versions and their code.
	GetApp = "GetApp"
	// InvokeApp is for calling apps, on every surface.
	InvokeApp = "InvokeApp"
	// GetExecution is for reading and watching executions.
	GetExecution = "GetExecution"
)

// AllScopes answers every scope there is.
func AllScopes() []string { return []string{DeployApp, GetApp, InvokeApp, GetExecution} }

const (
	computeService = "/dodil.ignite.v1.ComputeService/"
	// open is the scope of methods that need neither scope nor token.
	open = ""
)

// scopes is the one table from methods to what they need; it is never written. A name that ends in a slash stands for all methods of
// a service. What is not here is denied, so that a new method is closed until someone decides who may call it.
var scopes = map[string]string{
	computeService + "CreateApp":       DeployApp,
	computeService + "UpdateAppConfig": DeployApp,
	computeService + "DeleteApp":       DeployApp,
	computeService + "SaveDraft":       DeployApp,
	computeService + "CompileDraft":    DeployApp,
	computeService + "PublishDraft":    DeployApp,
	computeService + "RollbackApp":     DeployApp,
	computeService + "TestDraft":       DeployApp,
	computeService + "TestAppVersion":  DeployApp,

	computeService + "GetApp":          GetApp,
	computeService + "ListApps":        GetApp,
	computeService + "GetAppState":     GetApp,
	computeService + "GetDraftInfo":    GetApp,
	computeService + "ListAppVersions": GetApp,
	computeService + "GetAppVersion":   GetApp,
	computeService + "GetAppCode":      GetApp,

	computeService + "StreamCompileLogs": GetApp,

	computeService + "Invoke":            InvokeApp,
	computeService + "InvokeAsync":       InvokeApp,
	computeService + "InvokeAsyncBatch":  InvokeApp,
	computeService + "CancelExecution":   InvokeApp,
	computeService + "RedriveExecution":  InvokeApp,
	computeService + "RedriveExecutions": InvokeApp,
	computeService + "PurgeDeadLetters":  InvokeApp,

	computeService + "GetExecution":   GetExecution,
	computeService + "ListExecutions": GetExecution,
	computeService + "WatchExecution": GetExecution,
	computeService + "FetchResponse":  GetExecution,

	computeService + "HealthCheck":               open,
	"/grpc.health.v1.Health/":                    open,
	"/grpc.reflection.v1.ServerReflection/":      open,
	"/grpc.reflection.v1alpha.ServerReflection/": open,
}

// scopeOf answers what a method needs, by its full name as gRPC knows it ("/package.Service/Method").
func scopeOf(method string) (scope string, known bool) {
	if scope, known = scopes[method]; known {
		return scope, true
	}
	service := method[:strings.LastIndexByte(method, '/')+1]
	scope, known = scopes[service]
	return scope, known
}

// IsOpen reports whether method may be called without a token.
func IsOpen(method string) bool {
	scope, known := scopeOf(method)
	return known && scope == open
}

// Authorize reports as an ErrForbidden that p may not call method, the full name of a gRPC method. Which organization the
// call is about is another question: see In and MayInvoke.
func Authorize(p Principal, method string) error {
	scope, known := scopeOf(method)
	switch {
	case !known:
		return fmt.Errorf("%w: nobody may call %s", ErrForbidden, method)
	case scope == open:
		return nil
	}
	if err := p.May(scope); err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	return nil
}
