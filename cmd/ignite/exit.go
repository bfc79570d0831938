package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// exitCodes are the documented exit codes of gRPC's codes; any other is exitFailed.
var exitCodes = map[codes.Code]int{
	codes.InvalidArgument:   exitUsage,
	codes.Unauthenticated:   3,
	codes.PermissionDenied:  4,
	codes.NotFound:          5,
	codes.AlreadyExists:     6,
	codes.ResourceExhausted: 7,
	codes.DeadlineExceeded:  8,
	codes.Unavailable:       9,
	codes.Internal:          10,
}

// usageError is a command that cannot be understood.
type usageError struct {
	command string // whose help explains it; empty if the cause says all
	cause   error
}

func (e *usageError) Error() string { return e.cause.Error() }
func (e *usageError) Unwrap() error { return e.cause }

// usagef is a usage error whose text says all there is to know.
func usagef(format string, args ...any) error {
	return &usageError{cause: fmt.Errorf(format, args...)}
}

// finish tells the user what went wrong and returns the exit code.
func (c *client) finish(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		c.tell("Interrupted")
		return exitInterrupted
	}
	c.tell("Error: %s", explain(err))
	if hint := c.hint(err); hint != "" {
		c.tell("%s", hint)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return cmp.Or(exitCodes[status.Code(err)], exitFailed)
}

// statusError is an error that came from gRPC.
type statusError interface {
	error
	GRPCStatus() *status.Status
}

// explain is the text of err without gRPC's frame around the server's words.
func explain(err error) string {
	found, ok := errors.AsType[statusError](err)
	if !ok {
		return err.Error()
	}
	return strings.Replace(err.Error(), found.Error(), found.GRPCStatus().Message(), 1)
}

// hint says what the user can do about err, if that is known.
func (c *client) hint(err error) string {
	if usage, ok := errors.AsType[*usageError](err); ok {
		if usage.command == "" {
			return ""
		}
		return "Run '" + usage.command + " --help' for usage."
	}
	switch status.Code(err) {
	case codes.Unauthenticated:
		return "Get a token, on the server with `ignited token --org ORG`, and set it in IGNITE_TOKEN " +
			"or keep it with `ignite config set token TOKEN`."
	case codes.PermissionDenied:
		return "The token's organization or its scopes do not allow this."
	case codes.Unavailable:
		return c.unavailableHint(err)
	case codes.DeadlineExceeded:
		if strings.Contains(err.Error(), context.DeadlineExceeded.Error()) { // the client's clock, not one of the server's
			return "Give it longer with --timeout."
		}
	}
	return ""
}

// unavailableHint tells a server that cannot be reached from one that answers UNAVAILABLE, which explains itself. gRPC
// gives both the same code, and only the texts differ.
func (c *client) unavailableHint(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return c.endpoint + " does not speak TLS. If the network to it can be trusted, use --debug."
	case strings.Contains(text, "failed to verify certificate"):
		return "SSL_CERT_FILE names a file with the certificate of an authority of your own."
	case strings.Contains(text, "error reading server preface"):
		return "If the server speaks TLS, name it as https://" + c.endpoint + "."
	case strings.Contains(text, "connection error"), strings.Contains(text, "name resolver error"):
		return "Is ignited running at " + c.endpoint + "? --api-endpoint or IGNITE_API_ENDPOINT names another server."
	}
	return ""
}
