package ignite

import (
	"context"
	"net/http"
)

// Context is what a handler is told about its call.
type Context struct {
	// ExecutionID names this execution; a repeated attempt has the same.
	ExecutionID string
	// FunctionID is the app's "organization/name".
	FunctionID string
	// OrganizationID is that of the caller.
	OrganizationID string
	// Headers are all headers of the request.
	Headers http.Header

	call context.Context //nolint:containedctx // the handler's signature has no room for one, as with http.Request
}

// Context ends when nobody waits for the answer any more. It is never nil.
func (c *Context) Context() context.Context {
	if c.call == nil {
		return context.Background()
	}
	return c.call
}

func newContext(r *http.Request) *Context {
	return &Context{
		ExecutionID:    r.Header.Get("X-Ignite-Execution-Id"),
		FunctionID:     r.Header.Get("X-Ignite-Function-Id"),
		OrganizationID: r.Header.Get("X-Ignite-Organization-Id"),
		Headers:        r.Header,
		call:           r.Context(),
	}
}
