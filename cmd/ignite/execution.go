package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func newExecutionCommand(c *client) *cobra.Command {
	group := newGroup("execution", "Look after calls that were submitted with --async",
		newExecutionListCommand(c), newExecutionGetCommand(c), newExecutionWatchCommand(c), newExecutionResponseCommand(c),
		newExecutionCancelCommand(c), newExecutionRedriveCommand(c), newExecutionPurgeCommand(c))
	group.Aliases = []string{"exec"}
	return group
}

func newExecutionGetCommand(c *client) *cobra.Command {
	var resultOnly bool
	var wait time.Duration
	command := &cobra.Command{
		Use:   "get ID",
		Short: "Show an execution's status and result",
		Long: `Show an execution's status and result. With --wait it is shown when it has ended, or as it is when that time is over.
The exit code says whether it could be read, not how it ended.`,
		Example: `  ignite execution get exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5
  ignite execution get exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5 --wait 10m
  ignite execution get exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5 --result-only > result.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if wait < 0 {
				return usagef("--wait %s is negative", wait)
			}
			var answer *ignitev1.GetExecutionResponse
			err := c.withConnection(func(conn *connection) (err error) {
				answer, err = c.awaitExecution(command.Context(), conn, args[0], wait)
				return err
			})
			if err != nil {
				return fmt.Errorf("get execution %s: %w", args[0], err)
			}
			if resultOnly {
				return c.writeBody(answer.GetExecution().GetResult())
			}
			return c.print(answer, func() string { return executionTable(answer.GetExecution()) })
		},
	}
	command.Flags().DurationVar(&wait, "wait", 0, "how long to wait for the end")
	command.Flags().BoolVar(&resultOnly, "result-only", false, "write the bytes of the result and nothing else")
	return command
}

func newExecutionWatchCommand(c *client) *cobra.Command {
	var from position
	command := &cobra.Command{
		Use:   "watch ID",
		Short: "Follow an execution to its end",
		Long: `Follow an execution to its end: output is printed as the app produces it, from its beginning, and the result
of an app that does not stream is printed at the end. When another attempt begins, a line on standard error says so.
The exit code is 0 only if the execution completes. With -o json every update is a line of JSON.

A connection that breaks is made again, and the output goes on where it stopped. Leaving does not end the execution;
--from-chunk and --from-attempt go on later where a watch was left.`,
		Example: `  ignite execution watch exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5
  ignite execution watch exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5 --from-chunk 120 --from-attempt 2`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if from.chunk < 0 {
				return usagef("--from-chunk %d is negative", from.chunk)
			}
			return c.withConnection(func(conn *connection) error {
				return c.watchExecution(command.Context(), conn, args[0], from)
			})
		},
	}
	command.Flags().Int64Var(&from.chunk, "from-chunk", 0, "number of the first chunk to print, counted from 0")
	command.Flags().Uint32Var(&from.attempt, "from-attempt", 0, "attempt that --from-chunk is a chunk of (0 = the first whose output is kept)")
	return command
}

func newExecutionCancelCommand(c *client) *cobra.Command {
	var reason string
	command := &cobra.Command{
		Use:   "cancel ID",
		Short: "End an execution before it ends by itself",
		Long: `End an execution: one that waits at once, one that runs by cancelling its request to the pod. It ends CANCELLED.
Cancelling what is cancelled already changes nothing; what ended otherwise cannot be cancelled.`,
		Example: `  ignite execution cancel exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5 --reason "wrong input"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.CancelExecution,
				&ignitev1.CancelExecutionRequest{ExecutionId: args[0], Reason: reason})
			if err != nil {
				return fmt.Errorf("cancel execution %s: %w", args[0], err)
			}
			return c.print(answer, func() string {
				return fmt.Sprintf("%s %s\n", answer.GetExecution().GetId(), statusText(answer.GetExecution()))
			})
		},
	}
	command.Flags().StringVar(&reason, "reason", "", "`TEXT` that is kept as the execution's error")
	return command
}
