package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const trialHelp = `in a pod of its own, started for this call and stopped after it. What is published goes on serving.

The body of the answer is printed as it is; its status, how long the start took, and what the pod printed go to standard error. An answer
that is not 2xx ends with exit code 1, and so does a pod that gives none.`

func newDraftTestCommand(c *client) *cobra.Command {
	var flags callFlags
	command := &cobra.Command{
		Use:   "test APP",
		Short: "Call an app's draft without publishing it",
		Long:  "Call an app's draft " + trialHelp + "\n\nA draft that has to be compiled must have been.",
		Example: `  ignite draft test acme:hello --payload '{"name": "Ada"}'
  ignite draft test acme:site --method get --path /about`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			call, body, err := flags.envelope(command.Context(), c)
			if err != nil {
				return err
			}
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.TestDraft,
				&ignitev1.TestDraftRequest{OrganizationName: app.org, AppName: app.name, Http: call, Body: body})
			if err != nil {
				return fmt.Errorf("test the draft of %s: %w", app, err)
			}
			return c.showTrial("the draft of "+app.String(), answer, answer.GetResult())
		},
	}
	flags.register(command)
	return command
}

func newVersionTestCommand(c *client) *cobra.Command {
	var flags callFlags
	command := &cobra.Command{
		Use:     "test APP VERSION",
		Short:   "Call a published version, whichever serves",
		Long:    "Call a published version " + trialHelp,
		Example: `  ignite version test acme:hello 3 --payload '{"name": "Ada"}'`,
		Args:    cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			version, err := parseVersion(args[1])
			if err != nil {
				return err
			}
			call, body, err := flags.envelope(command.Context(), c)
			if err != nil {
				return err
			}
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.TestAppVersion,
				&ignitev1.TestAppVersionRequest{OrganizationName: app.org, AppName: app.name, Version: version, Http: call, Body: body})
			if err != nil {
				return fmt.Errorf("test version %d of %s: %w", version, app, err)
			}
			return c.showTrial(fmt.Sprintf("version %d of %s", version, app), answer, answer.GetResult())
		},
	}
	flags.register(command)
	return command
}

// showTrial prints what a trial came to; answer is what it came in.
func (c *client) showTrial(tried string, answer proto.Message, result *ignitev1.TestResult) error {
	if err := c.printTrial(answer, result); err != nil {
		return err
	}
	if failure := result.GetError(); failure != nil {
		return fmt.Errorf("%s did not answer: %s", tried, errorText(failure))
	}
	if status := int(result.GetStatusCode()); status < 200 || status > 299 {
		return fmt.Errorf("%s answered %d %s", tried, status, http.StatusText(status))
	}
	return nil
}

func (c *client) printTrial(answer proto.Message, result *ignitev1.TestResult) error {
	if !c.tables() {
		return c.print(answer, nil)
	}
	for _, line := range result.GetLogLines() {
		c.tell("log: %s", line)
	}
	if status := int(result.GetStatusCode()); status != 0 {
		c.tell("%d %s in %s, of which the start took %s", status, http.StatusText(status), span(result.GetDurationMs()), span(result.GetColdStartMs()))
	}
	return errors.Join(c.writeBody(result.GetBody()), c.endBody())
}
