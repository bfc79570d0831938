package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func newExecutionCommand(c *client) *cobra.Command {
	group := newGroup("execution", "Look at calls that were submitted with --async",
		newExecutionGetCommand(c), newExecutionWatchCommand(c))
	group.Aliases = []string{"exec"}
	return group
}

func newExecutionGetCommand(c *client) *cobra.Command {
	var resultOnly bool
	command := &cobra.Command{
		Use:   "get ID",
		Short: "Show an execution's status and result",
		Long:  "Show an execution's status and result. The exit code says whether it could be read, not how it ended.",
		Example: `  ignite execution get exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5
  ignite execution get exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5 --result-only > result.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.GetExecution,
				&ignitev1.GetExecutionRequest{ExecutionId: args[0]})
			if err != nil {
				return fmt.Errorf("get execution %s: %w", args[0], err)
			}
			if resultOnly {
				return c.writeBody(answer.GetExecution().GetResult())
			}
			return c.print(answer, func() string { return executionTable(answer.GetExecution()) })
		},
	}
	command.Flags().BoolVar(&resultOnly, "result-only", false, "write the bytes of the result and nothing else")
	return command
}

func newExecutionWatchCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "watch ID",
		Short: "Follow an execution to its end",
		Long: `Follow an execution to its end: output is printed as the app produces it, from its beginning, and the result
of an app that does not stream is printed at the end. The exit code is 0 only if the execution completes.
With -o json every update is a line of JSON.

Leaving does not end the execution.`,
		Example: "  ignite execution watch exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return c.withConnection(func(conn *connection) error {
				return c.watchExecution(command.Context(), conn, args[0])
			})
		},
	}
}

func executionTable(execution *ignitev1.Execution) string {
	metrics := execution.GetMetrics()
	record := fields(
		[2]string{"Execution", execution.GetId()},
		[2]string{"App", execution.GetAppId()},
		[2]string{"Version", count(execution.GetFunctionVersion())},
		[2]string{"Status", statusText(execution)},
		[2]string{"Error", errorText(execution.GetError())},
		[2]string{"Answer", count(execution.GetResponseStatusCode())},
		[2]string{"Attempt", attemptText(execution)},
		[2]string{"Created", instant(execution.GetCreatedAtMs())},
		[2]string{"Started", instant(execution.GetStartedAtMs())},
		[2]string{"Finished", instant(execution.GetFinishedAtMs())},
		[2]string{"Expires", instant(execution.GetExpiresAtMs())},
		[2]string{"Tier", metrics.GetResourceTier()},
		[2]string{"Queued", measured(metrics, metrics.GetQueueMs())},
		[2]string{"Cold start", measured(metrics, metrics.GetColdStartMs())},
		[2]string{"Ran", measured(metrics, metrics.GetExecutionMs())},
		[2]string{"Result size", sizeText(execution)},
	)
	if len(execution.GetResult()) == 0 {
		return record
	}
	return record + "\n" + resultText(execution.GetResult())
}

// statusText is how a record stands, as the API writes it but for the prefix.
func statusText(execution *ignitev1.Execution) string {
	return strings.TrimPrefix(execution.GetStatus().String(), "EXECUTION_STATUS_")
}

func errorText(failure *ignitev1.ExecutionError) string {
	if failure == nil {
		return ""
	}
	return failure.GetCode() + ": " + failure.GetMessage()
}

func attemptText(execution *ignitev1.Execution) string {
	if execution.GetMaxAttempts() == 0 {
		return count(execution.GetAttempt())
	}
	return fmt.Sprintf("%d of %d", execution.GetAttempt(), execution.GetMaxAttempts())
}

func measured(metrics *ignitev1.ExecutionMetrics, milliseconds int64) string {
	if metrics == nil {
		return ""
	}
	return span(milliseconds)
}

func sizeText(execution *ignitev1.Execution) string {
	if execution.GetMetrics() == nil {
		return ""
	}
	return fmt.Sprintf("%d bytes", execution.GetMetrics().GetResultSizeBytes())
}

// resultText is a result for people: JSON indented, other text as it is, and of anything else only that it is there.
func resultText(result []byte) string {
	var indented bytes.Buffer
	switch {
	case json.Indent(&indented, result, "", "  ") == nil:
		return printable(indented.String()) + "\n"
	case !utf8.Valid(result) || bytes.IndexByte(result, 0) >= 0:
		return "The result is binary; --result-only writes it as it is.\n"
	}
	return printable(strings.TrimSuffix(string(result), "\n")) + "\n"
}
