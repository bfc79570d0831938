package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const methodPrefix = "HTTP_METHOD_"

// callFlags say what to send.
type callFlags struct {
	payload, payloadFile string
	method, path, query  string
	headers              []string
}

// invokeFlags say what to send and what to do with the answer.
type invokeFlags struct {
	callFlags
	include bool
	submit  submitFlags
}

func newInvokeCommand(c *client) *cobra.Command {
	var flags invokeFlags
	command := &cobra.Command{
		Use:   "invoke APP",
		Short: "Call an app and print its answer",
		Long: `Call an app and print the body of its answer as it comes. An answer that is not 2xx is printed too, and ends
with exit code 1.

Without flags the call is POST / with an empty body. A payload that is JSON is sent as application/json unless
--header says otherwise.

--async submits the call and prints the id of its execution, which is on disk by then. It can be given an idempotency key, a
time before which it does not begin, and a retry policy, field by field in place of the app's. --watch submits it and follows the
execution to its end: output is printed as the app produces it. --wait submits it and shows the execution when it has ended. With both,
the exit code is 0 only if the execution completes; when the time of --wait is over, it is 8.

--batch submits a file, one call a line, and prints each id or why it was refused. A line is an object as the HTTP API takes
it (http, body in base64, idempotencyKey, delay, notBefore, retry), or has payload, any JSON, in place of body. Calls are sent 1,000 at a
time; what a line does not say of its time and its retries is taken from the flags.`,
		Example: `  ignite invoke hello --payload '{"name": "Ada"}'
  ignite invoke acme:hello --payload-file request.json --include
  ignite invoke stream --method get --path /numbers --query 'upto=5'
  cat photo.jpg | ignite invoke resize --payload-file - --header 'Content-Type: image/jpeg' > small.jpg
  ignite invoke hello --payload '{"name": "Ada"}' --async
  ignite invoke charge --payload '{"order": 7}' --async --idempotency-key order-7 --max-attempts 5 --initial-backoff 2s
  ignite invoke report --async --not-before 2026-12-01T06:00:00Z
  echo '{"payload": {"name": "Ada"}, "delay": "60s"}' | ignite invoke hello --batch -`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			request, err := c.invocation(command, app, &flags)
			if err != nil {
				return err
			}
			return c.withConnection(func(conn *connection) error {
				switch {
				case flags.submit.batch != "":
					return c.submitBatch(command.Context(), conn, app, flags.submit.batch, request)
				case flags.submit.wanted():
					return c.submit(command.Context(), conn, app, request, &flags.submit)
				}
				return c.invoke(command.Context(), conn, app, request, flags.include)
			})
		},
	}
	flags.register(command)
	return command
}

func (f *callFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVarP(&f.payload, "payload", "p", "", "body to send")
	flags.StringVar(&f.payloadFile, "payload-file", "", "`FILE` to send as the body, - for standard input")
	flags.StringVar(&f.method, "method", "", "HTTP method (default post)")
	flags.StringVar(&f.path, "path", "", "path, with or without a query (default /)")
	flags.StringVar(&f.query, "query", "", "query, without the question mark")
	flags.StringArrayVar(&f.headers, "header", nil, "header `'Name: value'`; may be given again")
	command.MarkFlagsMutuallyExclusive("payload", "payload-file")
	completeFrom(command, "method", enumChoices(methodPrefix, ignitev1.HttpMethod_value))
}

func (f *invokeFlags) register(command *cobra.Command) {
	f.callFlags.register(command)
	command.Flags().BoolVarP(&f.include, "include", "i", false, "show status, headers and trailers on standard error")
	f.submit.register(command)
	for _, submitting := range []string{"async", "watch", "wait"} {
		command.MarkFlagsMutuallyExclusive("include", submitting)
	}
}

// invocation is the call that the flags describe.
func (c *client) invocation(command *cobra.Command, app appRef, flags *invokeFlags) (*ignitev1.InvokeRequest, error) {
	call, body, err := flags.envelope(command.Context(), c)
	if err != nil {
		return nil, err
	}
	request := &ignitev1.InvokeRequest{OrganizationName: app.org, AppName: app.name, Http: call, Body: body}
	if err := flags.submit.apply(request, command); err != nil {
		return nil, err
	}
	return request, nil
}

// envelope is what the flags say is to be sent.
func (f *callFlags) envelope(ctx context.Context, c *client) (call *ignitev1.HttpContext, body []byte, err error) {
	if call, err = f.http(); err != nil {
		return nil, nil, err
	}
	body = []byte(f.payload)
	if f.payloadFile != "" {
		if body, err = c.readPayload(ctx, f.payloadFile); err != nil {
			return nil, nil, err
		}
	}
	if len(body) > 0 && json.Valid(body) && !hasContentType(call.HeaderFields) {
		call.HeaderFields = append(call.HeaderFields, jsonContent())
	}
	return call, body, nil
}

func (f *callFlags) http() (*ignitev1.HttpContext, error) {
	method, err := optionalEnum[ignitev1.HttpMethod]("method", f.method, methodPrefix, ignitev1.HttpMethod_value)
	if err != nil {
		return nil, err
	}
	path, query, both := strings.Cut(f.path, "?")
	if both && f.query != "" {
		return nil, usagef("give the query in --path or in --query, not in both")
	}
	if path != "" && !strings.HasPrefix(path, "/") {
		return nil, usagef("--path %q does not begin with /", f.path)
	}
	if !both {
		query = f.query
	}
	headers, err := parseHeaders(f.headers)
	if err != nil {
		return nil, err
	}
	return &ignitev1.HttpContext{Method: method, Path: path, Query: query, HeaderFields: headers}, nil
}

func parseHeaders(arguments []string) ([]*ignitev1.HeaderField, error) {
	var headers []*ignitev1.HeaderField
	for _, argument := range arguments {
		name, value, ok := strings.Cut(argument, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, usagef("--header %q is not of the form 'Name: value'", argument)
		}
		headers = append(headers, &ignitev1.HeaderField{Name: name, Value: strings.TrimSpace(value)})
	}
	return headers, nil
}

func hasContentType(headers []*ignitev1.HeaderField) bool {
	return slices.ContainsFunc(headers, func(header *ignitev1.HeaderField) bool {
		return isContentType(header.GetName())
	})
}

func isContentType(name string) bool { return strings.EqualFold(name, "content-type") }

func jsonContent() *ignitev1.HeaderField {
	return &ignitev1.HeaderField{Name: "content-type", Value: "application/json"}
}

// invoke calls the app and copies its answer to stdout, chunk by chunk.
func (c *client) invoke(
	ctx context.Context, conn *connection, app appRef, request *ignitev1.InvokeRequest, include bool,
) error {
	ctx, cancel := c.streamContext(ctx)
	defer cancel() // leaving the stream disconnects the pod
	waiting := c.progress.wait("Waiting for " + app.String())
	defer waiting.stop()
	stream, err := conn.api.Invoke(ctx, request)
	if err != nil {
		return fmt.Errorf("invoke %s: %w", app, err)
	}
	answer := &answerCopy{client: c, include: include, began: waiting.stop, write: c.writeBody}
	if err := errors.Join(answer.copyFrom(stream), c.endBody()); err != nil {
		return fmt.Errorf("invoke %s: %w", app, err)
	}
	if answer.status < 200 || answer.status > 299 {
		return fmt.Errorf("%s answered %d %s", app, answer.status, http.StatusText(answer.status))
	}
	return nil
}
