package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const methodPrefix = "HTTP_METHOD_"

// invokeFlags say what to send and what to do with the answer.
type invokeFlags struct {
	payload, payloadFile  string
	method, path, query   string
	headers               []string
	async, watch, include bool
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

--async submits the call and prints the id of its execution. --watch submits it and follows the execution to its
end: output is printed as the app produces it, and the exit code is 0 only if the execution completes.`,
		Example: `  ignite invoke hello --payload '{"name": "Ada"}'
  ignite invoke acme:hello --payload-file request.json --include
  ignite invoke stream --method get --path /numbers --query 'upto=5'
  ignite invoke hello --payload '{"name": "Ada"}' --async
  cat photo.jpg | ignite invoke resize --payload-file - --header 'Content-Type: image/jpeg' > small.jpg`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			request, err := c.invocation(command.Context(), app, flags)
			if err != nil {
				return err
			}
			return c.withConnection(func(conn *connection) error {
				switch {
				case flags.watch:
					return c.invokeAndWatch(command.Context(), conn, app, request)
				case flags.async:
					return c.invokeAsync(command.Context(), conn, app, request)
				}
				return c.invoke(command.Context(), conn, app, request, flags.include)
			})
		},
	}
	flags.register(command)
	return command
}

func (f *invokeFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVarP(&f.payload, "payload", "p", "", "body to send")
	flags.StringVar(&f.payloadFile, "payload-file", "", "`FILE` to send as the body, - for standard input")
	flags.StringVar(&f.method, "method", "", "HTTP method (default post)")
	flags.StringVar(&f.path, "path", "", "path, with or without a query (default /)")
	flags.StringVar(&f.query, "query", "", "query, without the question mark")
	flags.StringArrayVar(&f.headers, "header", nil, "header `'Name: value'`; may be given again")
	flags.BoolVar(&f.async, "async", false, "submit the call, print the execution's id and leave")
	flags.BoolVar(&f.watch, "watch", false, "submit the call and follow its execution (--async is implied)")
	flags.BoolVarP(&f.include, "include", "i", false, "show status, headers and trailers on standard error")
	command.MarkFlagsMutuallyExclusive("payload", "payload-file")
	command.MarkFlagsMutuallyExclusive("include", "async")
	command.MarkFlagsMutuallyExclusive("include", "watch")
	completeFrom(command, "method", enumChoices(methodPrefix, ignitev1.HttpMethod_value))
}

// invocation is the envelope that the flags describe.
func (c *client) invocation(ctx context.Context, app appRef, flags invokeFlags) (*ignitev1.InvokeRequest, error) {
	call, err := flags.http()
	if err != nil {
		return nil, err
	}
	body := []byte(flags.payload)
	if flags.payloadFile != "" {
		if body, err = c.readPayload(ctx, flags.payloadFile); err != nil {
			return nil, err
		}
	}
	if len(body) > 0 && json.Valid(body) && !hasContentType(call.HeaderFields) {
		call.HeaderFields = append(call.HeaderFields, &ignitev1.HeaderField{Name: "content-type", Value: "application/json"})
	}
	return &ignitev1.InvokeRequest{OrganizationName: app.org, AppName: app.name, Http: call, Body: body}, nil
}

func (f *invokeFlags) http() (*ignitev1.HttpContext, error) {
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
		return strings.EqualFold(header.GetName(), "content-type")
	})
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
	answer := &answerCopy{client: c, include: include, began: waiting.stop}
	if err := errors.Join(answer.copyFrom(stream), c.endBody()); err != nil {
		return fmt.Errorf("invoke %s: %w", app, err)
	}
	if answer.status < 200 || answer.status > 299 {
		return fmt.Errorf("%s answered %d %s", app, answer.status, http.StatusText(answer.status))
	}
	return nil
}

// answerCopy brings the frames of an answer to the user.
type answerCopy struct {
	client  *client
	include bool
	began   func() // called with the first frame
	status  int
	ended   bool
}

func (a *answerCopy) copyFrom(stream grpc.ServerStreamingClient[ignitev1.InvokeResponse]) error {
	for {
		frame, err := stream.Recv()
		a.began()
		if errors.Is(err, io.EOF) {
			if !a.ended {
				return errors.New("the answer ended without its trailer: it may be incomplete")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.take(frame); err != nil {
			return err
		}
	}
}

func (a *answerCopy) take(frame *ignitev1.InvokeResponse) error {
	switch {
	case frame.GetHead() != nil:
		a.status = int(frame.GetHead().GetStatusCode())
		a.showHead(frame.GetHead())
	case frame.GetChunk() != nil:
		return a.client.writeBody(frame.GetChunk().GetData())
	case frame.GetTrailer() != nil:
		a.ended = true
		a.showTrailer(frame.GetTrailer())
	}
	return nil
}

func (a *answerCopy) showHead(head *ignitev1.InvokeHead) {
	if !a.include {
		return
	}
	a.client.tell("HTTP %d %s", a.status, http.StatusText(a.status))
	if lines := head.GetResponseHeaderFields(); len(lines) > 0 {
		for _, line := range lines {
			a.client.tell("%s: %s", line.GetName(), line.GetValue())
		}
	} else {
		a.showMap(head.GetResponseHeaders())
	}
	a.client.tell("X-Ignite-Execution-Id: %s\n", head.GetExecutionId())
}

func (a *answerCopy) showTrailer(trailer *ignitev1.InvokeTrailer) {
	if !a.include {
		return
	}
	a.showMap(trailer.GetTrailers())
	a.client.tell("\n%d bytes in %s", trailer.GetTotalBodyBytes(), span(trailer.GetDurationMs()))
}

func (a *answerCopy) showMap(lines map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		a.client.tell("%s: %s", name, lines[name])
	}
}

// invokeAsync submits the call and prints the execution's id.
func (c *client) invokeAsync(
	ctx context.Context, conn *connection, app appRef, request *ignitev1.InvokeRequest,
) error {
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.InvokeAsync, request)
	if err != nil {
		return fmt.Errorf("submit to %s: %w", app, err)
	}
	return c.print(answer, func() string { return answer.GetExecutionId() + "\n" })
}

// invokeAndWatch submits the call and follows its execution.
func (c *client) invokeAndWatch(
	ctx context.Context, conn *connection, app appRef, request *ignitev1.InvokeRequest,
) error {
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.InvokeAsync, request)
	if err != nil {
		return fmt.Errorf("submit to %s: %w", app, err)
	}
	c.tell("Submitted %s", answer.GetExecutionId())
	return c.watchExecution(ctx, conn, answer.GetExecutionId())
}
