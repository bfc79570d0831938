package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// deployPoll is how often it is asked whether a compilation has begun.
const deployPoll = 100 * time.Millisecond

func newDraftCompileCommand(c *client) *cobra.Command {
	var follow bool
	command := &cobra.Command{
		Use:   "compile APP",
		Short: "Build an app's draft and show what the compiler says",
		Example: `  ignite draft compile acme:hello
  ignite draft compile acme:hello --follow`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			return c.withConnection(func(conn *connection) error {
				if follow {
					answer, err := c.compileFollowed(command.Context(), conn, app)
					if err != nil {
						return err
					}
					return c.printAfterLog(answer)
				}
				answer, err := c.compileDraft(command.Context(), conn, app)
				if err != nil {
					return err
				}
				return c.print(answer, func() string { return printable(answer.GetLog()) + draftTable(answer.GetDraft()) })
			})
		},
	}
	command.Flags().BoolVarP(&follow, "follow", "f", false, "show each line as the compiler prints it")
	return command
}

func newDraftLogsCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "logs DEPLOY_ID",
		Aliases: []string{"compile-logs"},
		Short:   "Show what the compiler printed, and goes on to print",
		Long: `Show what the compiler printed, and follow it to its end if it still runs. The deploy id of an app's newest compilation
is shown by 'ignite draft info'. Logs are kept for a week.`,
		Example: "  ignite draft logs 6F7N4WRQ3T5J2KXM2Y7CXD4BQA",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return c.withConnection(func(conn *connection) error {
				if err := c.printCompileLog(command.Context(), conn, args[0]); err != nil {
					return fmt.Errorf("read the log of compilation %s: %w", args[0], err)
				}
				return nil
			})
		},
	}
}

// compileDraft builds the draft. One that does not build is an error, after the compiler's words.
func (c *client) compileDraft(
	ctx context.Context, conn *connection, app appRef,
) (*ignitev1.CompileDraftResponse, error) {
	compiling := c.progress.step("Compiling " + app.String())
	defer compiling.stop()
	answer, err := askToCompile(ctx, conn, app)
	if err != nil {
		return nil, err
	}
	if err := compileFailure(app, answer); err != nil {
		compiling.stop()
		c.tell("%s", strings.TrimSuffix(answer.GetLog(), "\n"))
		return nil, err
	}
	compiling.done()
	return answer, nil
}

func askToCompile(ctx context.Context, conn *connection, app appRef) (*ignitev1.CompileDraftResponse, error) {
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.CompileDraft,
		&ignitev1.CompileDraftRequest{OrganizationName: app.org, AppName: app.name})
	if err != nil {
		return nil, fmt.Errorf("compile the draft of %s: %w", app, err)
	}
	return answer, nil
}

func compileFailure(app appRef, answer *ignitev1.CompileDraftResponse) error {
	if answer.GetDraft().GetStatus() == ignitev1.VersionStatus_VERSION_STATUS_FAILED {
		return fmt.Errorf("%s does not compile: %s", app, answer.GetDraft().GetError())
	}
	return nil
}

// compileFollowed is compileDraft, and prints the compiler's lines meanwhile.
func (c *client) compileFollowed(ctx context.Context, conn *connection, app appRef) (*ignitev1.CompileDraftResponse, error) {
	before := deployID(ctx, conn, app)
	var answer *ignitev1.CompileDraftResponse
	var failure error
	compiled := make(chan struct{})
	go func() {
		defer close(compiled)
		answer, failure = askToCompile(ctx, conn, app)
	}()
	if id := newDeployID(ctx, conn, app, before, compiled); id != "" {
		c.showCompileLog(ctx, conn, id)
	}
	<-compiled
	if failure != nil {
		return nil, failure
	}
	return answer, compileFailure(app, answer)
}

// printAfterLog prints how a compilation ended whose lines were printed.
func (c *client) printAfterLog(answer *ignitev1.CompileDraftResponse) error {
	if c.tables() {
		return c.write(draftTable(answer.GetDraft()))
	}
	answer.Log = ""
	return c.printEvent(answer)
}

// deployID names the app's newest compilation; it is empty if there is none, or that cannot be told.
func deployID(ctx context.Context, conn *connection, app appRef) string {
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.GetDraftInfo,
		&ignitev1.GetDraftInfoRequest{OrganizationName: app.org, AppName: app.name})
	if err != nil {
		return ""
	}
	return answer.GetDraft().GetDeployId()
}

// newDeployID waits for a compilation after the one before; it may be over already. It is empty if there was none.
func newDeployID(ctx context.Context, conn *connection, app appRef, before string, compiled <-chan struct{}) string {
	poll := time.NewTicker(deployPoll)
	defer poll.Stop()
	for over := false; ; {
		if id := deployID(ctx, conn, app); id != before || over {
			return id
		}
		select {
		case <-compiled:
			over = true
		case <-poll.C:
		}
	}
}

// showCompileLog prints a log beside something else that is going on, which it does not hinder.
func (c *client) showCompileLog(ctx context.Context, conn *connection, id string) {
	if err := c.printCompileLog(ctx, conn, id); err != nil && ctx.Err() == nil {
		c.tell("Warning: the compiler's lines cannot be shown: %s", explain(err))
	}
}

// printCompileLog prints a log to its end. A connection that breaks is made again, and goes on after the lines that were printed.
func (c *client) printCompileLog(ctx context.Context, conn *connection, id string) error {
	ctx, cancel := c.streamContext(ctx)
	defer cancel()
	var lost reconnects
	for printed := 0; ; {
		before := printed
		err := c.copyCompileLog(ctx, conn, id, &printed)
		if printed > before {
			lost = reconnects{}
		}
		if err == nil || !lost.again(ctx, err, maxReconnects) {
			return err
		}
	}
}

// copyCompileLog prints the lines after those that were printed.
func (c *client) copyCompileLog(ctx context.Context, conn *connection, id string, printed *int) error {
	ctx, leave := context.WithCancel(ctx) // a line that cannot be printed leaves a stream behind
	defer leave()
	stream, err := conn.api.StreamCompileLogs(ctx, &ignitev1.StreamCompileLogsRequest{DeployId: id})
	if err != nil {
		return err
	}
	for skip := *printed; ; skip-- {
		line, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if skip > 0 {
			continue
		}
		if err := c.printCompileLine(line); err != nil {
			return err
		}
		*printed++
	}
}

func (c *client) printCompileLine(line *ignitev1.StreamCompileLogsResponse) error {
	if !c.tables() {
		return c.printEvent(line)
	}
	return c.write(printable(line.GetLine()) + "\n")
}
