package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func newExecutionRedriveCommand(c *client) *cobra.Command {
	var flags deadFlags
	command := &cobra.Command{
		Use:   "redrive ID | --FILTER…",
		Short: "Submit the request of a failed or timed-out execution once more",
		Long: `Submit the request of a dead letter, an execution that ended FAILED or TIMEOUT, once more. It becomes a new execution, whose id is
printed; the record of the old one stays as it is. A dead letter is used up by it: a repetition of the command prints the same new id.

In place of an ID, a filter chooses all that fit; 'ignite execution list --dead-letters' shows them. It asks before
it does that, unless --yes is given.`,
		Example: `  ignite execution redrive exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5
  ignite execution redrive --app hello --since 2h
  ignite execution redrive --org acme --status timeout --yes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 1 {
				if err := flags.refuseBeside(command); err != nil {
					return err
				}
				return c.redriveOne(command.Context(), args[0])
			}
			return c.onDeadLetters(command, &flags, "Redrive", c.redriveAll)
		},
	}
	flags.register(command, "redrive")
	return command
}

func (c *client) redriveOne(ctx context.Context, id string) error {
	answer, err := askOnce(ctx, c, ignitev1.ComputeServiceClient.RedriveExecution, &ignitev1.RedriveExecutionRequest{ExecutionId: id})
	if err != nil {
		return fmt.Errorf("redrive execution %s: %w", id, err)
	}
	return c.print(answer, func() string { return answer.GetExecutionId() + "\n" })
}

// redriveAll redrives request by request, as many dead letters as one may, until none is left or some are refused: those
// would only be refused again.
func (c *client) redriveAll(ctx context.Context, conn *connection, filter *ignitev1.ExecutionFilter, limit uint32) error {
	all := &ignitev1.RedriveExecutionsResponse{}
	var failure error
	for failure == nil && refusedOf(all) == 0 {
		answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.RedriveExecutions,
			&ignitev1.RedriveExecutionsRequest{Filter: filter, Limit: pageOf(limit, len(all.Results))})
		failure = err
		all.Results = append(all.Results, answer.GetResults()...)
		all.More = answer.GetMore()
		if !all.More || len(answer.GetResults()) == 0 || (limit > 0 && len(all.Results) >= int(limit)) {
			break
		}
	}
	if failure == nil || len(all.Results) > 0 { // what was redriven is told, whatever came then
		if err := c.print(all, func() string { return redrivenTable(all.GetResults()) }); err != nil {
			return err
		}
	}
	if failure != nil {
		return fmt.Errorf("redrive executions: %w", failure)
	}
	return redriveError(all)
}

func refusedOf(answer *ignitev1.RedriveExecutionsResponse) int {
	refused := 0
	for _, result := range answer.GetResults() {
		if result.GetError() != nil {
			refused++
		}
	}
	return refused
}

// redriveError is nil if nothing was refused.
func redriveError(answer *ignitev1.RedriveExecutionsResponse) error {
	for _, result := range answer.GetResults() {
		if refusal := result.GetError(); refusal != nil {
			return status.Errorf(codes.Code(cmp.Or(refusal.GetCode(), int32(codes.Unknown))), "%d of %d dead letters were not redriven; the first: %s",
				refusedOf(answer), len(answer.GetResults()), refusal.GetMessage())
		}
	}
	return nil
}

func redrivenTable(results []*ignitev1.RedriveResult) string {
	rows := make([][]string, len(results))
	for i, result := range results {
		rows[i] = []string{result.GetExecutionId(), cmp.Or(result.GetNewExecutionId(), "-"), result.GetError().GetMessage()}
	}
	return grid([]string{"dead letter", "execution", "error"}, rows)
}
