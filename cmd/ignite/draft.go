package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func newDraftCommand(c *client) *cobra.Command {
	return newGroup("draft", "Save, compile, try and publish an app's code",
		newDraftSaveCommand(c), newDraftInfoCommand(c), newDraftCompileCommand(c), newDraftLogsCommand(c),
		newDraftTestCommand(c), newDraftPublishCommand(c))
}

func newDraftSaveCommand(c *client) *cobra.Command {
	var source sourceFlags
	var inputSchema, outputSchema string
	command := &cobra.Command{
		Use:   "save APP --code PATH|--image NAME",
		Short: "Upload code as the app's draft",
		Long: `Upload code as the app's draft, in place of the one there may be. Nothing is compiled and nothing changes for
callers.

PATH is a folder, a tar.gz or zip archive, or a single file. A folder is packed without .git, node_modules,
__pycache__, target, .venv and symbolic links.`,
		Example: `  ignite draft save acme:hello --code examples/hello
  ignite draft save hello --code handler.py
  ignite draft save web --image registry.example.com/team/web:1.2`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			if !source.given() {
				return usagef("say what to save with --code or --image")
			}
			request := &ignitev1.SaveDraftRequest{OrganizationName: app.org, AppName: app.name}
			if request.Code, err = source.read(c); err != nil {
				return err
			}
			if err := addSchemas(request, command, inputSchema, outputSchema); err != nil {
				return err
			}
			return c.withConnection(func(conn *connection) error {
				answer, err := c.saveDraft(command.Context(), conn, request)
				if err != nil {
					return err
				}
				return c.print(answer, func() string { return draftTable(answer.GetDraft()) })
			})
		},
	}
	flags := command.Flags()
	source.register(command)
	flags.StringVarP(&source.code, "code", "c", "", "`PATH` of a folder, a tar.gz or zip archive, or a single file")
	flags.StringVar(&inputSchema, "input-schema", "", "JSON `SCHEMA` of the payload, or @FILE")
	flags.StringVar(&outputSchema, "output-schema", "", "JSON `SCHEMA` of the result, or @FILE")
	return command
}

func addSchemas(request *ignitev1.SaveDraftRequest, command *cobra.Command, input, output string) error {
	inputText, err := textOrFile(input)
	if err != nil {
		return err
	}
	outputText, err := textOrFile(output)
	if err != nil {
		return err
	}
	request.InputSchema = ifGiven(command.Flags().Changed("input-schema"), inputText)
	request.OutputSchema = ifGiven(command.Flags().Changed("output-schema"), outputText)
	return nil
}

// saveDraft uploads a draft under a progress bar.
func (c *client) saveDraft(
	ctx context.Context, conn *connection, request *ignitev1.SaveDraftRequest,
) (*ignitev1.SaveDraftResponse, error) {
	size := len(request.GetCode().GetCompile().GetSourceCode()) +
		len(request.GetCode().GetImage().GetFromCode().GetSourceCode())
	before := conn.sent.Load()
	sent := func() int64 { return conn.sent.Load() - before }
	upload := c.progress.upload("Uploading "+bytesText(size), int64(size), sent)
	defer upload.stop()
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.SaveDraft, request)
	if err != nil {
		return nil, fmt.Errorf("save the draft of %s:%s: %w", request.OrganizationName, request.AppName, err)
	}
	upload.done()
	return answer, nil
}

func newDraftInfoCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "info APP",
		Aliases: []string{"status"},
		Short:   "Show an app's draft",
		Long:    `Show an app's draft. An app without one is answered with {"status": "no draft"}.`,
		Example: "  ignite draft info acme:hello",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			return c.withConnection(func(conn *connection) error {
				return c.printDraft(command.Context(), conn, app)
			})
		},
	}
}

func (c *client) printDraft(ctx context.Context, conn *connection, app appRef) error {
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.GetDraftInfo,
		&ignitev1.GetDraftInfoRequest{OrganizationName: app.org, AppName: app.name})
	if status.Code(err) == codes.NotFound {
		return c.printNoDraft(ctx, conn, app)
	}
	if err != nil {
		return fmt.Errorf("get the draft of %s: %w", app, err)
	}
	return c.print(answer, func() string { return draftTable(answer.GetDraft()) })
}

// printNoDraft tells an app without a draft from an app that does not exist: the server says NOT_FOUND to both.
func (c *client) printNoDraft(ctx context.Context, conn *connection, app appRef) error {
	_, err := ask(ctx, conn, ignitev1.ComputeServiceClient.GetApp,
		&ignitev1.GetAppRequest{OrganizationName: app.org, AppName: app.name})
	if err != nil {
		return fmt.Errorf("get the draft of %s: %w", app, err)
	}
	none := map[string]string{"status": "no draft"}
	return c.printValue(none, func() string { return "{\"status\":\"no draft\"}\n" })
}

func newDraftPublishCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "publish APP",
		Short:   "Make the draft the next version and let it serve",
		Example: "  ignite draft publish acme:hello",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			return c.withConnection(func(conn *connection) error {
				return c.publishDraft(command.Context(), conn, app)
			})
		},
	}
}

// publishDraft publishes, and prints the app's public URL.
func (c *client) publishDraft(ctx context.Context, conn *connection, app appRef) error {
	publishing := c.progress.step("Publishing " + app.String())
	defer publishing.stop()
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.PublishDraft,
		&ignitev1.PublishDraftRequest{OrganizationName: app.org, AppName: app.name})
	if err != nil {
		return fmt.Errorf("publish the draft of %s: %w", app, err)
	}
	publishing.done()
	c.tell("%s version %d serves", app, answer.GetVersion())
	return c.print(answer, func() string { return firstOf(answer.GetApp().GetPublicUrls()) + "\n" })
}

func draftTable(draft *ignitev1.DraftInfo) string {
	return fields(
		[2]string{"Status", shortEnum(draft.GetStatus().String(), versionPrefix)},
		[2]string{"Kind", shortEnum(draft.GetCodeKind().String(), "CODE_KIND_")},
		[2]string{"Runtime", runtimeText(draft.GetRuntime())},
		[2]string{"Image", draft.GetImageRef()},
		[2]string{"Code hash", draft.GetCodeHash()},
		[2]string{"Saved", instant(draft.GetCreatedAtMs())},
		[2]string{"Compiled", instant(draft.GetCompiledAtMs())},
		[2]string{"Deploy id", draft.GetDeployId()},
		[2]string{"Error", draft.GetError()},
	)
}
