package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func newExecutionPurgeCommand(c *client) *cobra.Command {
	var flags deadFlags
	command := &cobra.Command{
		Use:   "purge ID… | --FILTER…",
		Short: "Drop the kept requests of failed and timed-out executions",
		Long: `Drop the kept requests of dead letters, executions that ended FAILED or TIMEOUT: they cannot be redriven any more. Their records
stay until they expire. There is no way back.

In place of IDs, a filter chooses all that fit; 'ignite execution list --dead-letters' shows them. It asks before
it does that, unless --yes is given.`,
		Example: `  ignite execution purge exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5
  ignite execution purge --app hello --until 24h`,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				if err := flags.refuseBeside(command); err != nil {
					return err
				}
				return c.purgeThese(command.Context(), args)
			}
			return c.onDeadLetters(command, &flags, "Purge", c.purgeAll)
		},
	}
	flags.register(command, "purge")
	return command
}

func (c *client) purgeThese(ctx context.Context, ids []string) error {
	if len(ids) > maxPage {
		return usagef("%d IDs are too many: one request takes %d", len(ids), maxPage)
	}
	answer, err := askOnce(ctx, c, ignitev1.ComputeServiceClient.PurgeDeadLetters, &ignitev1.PurgeDeadLettersRequest{ExecutionIds: ids})
	if err != nil {
		return fmt.Errorf("purge dead letters: %w", err)
	}
	return c.printPurged(answer)
}

func (c *client) purgeAll(ctx context.Context, conn *connection, filter *ignitev1.ExecutionFilter, limit uint32) error {
	all := &ignitev1.PurgeDeadLettersResponse{}
	for {
		answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.PurgeDeadLetters,
			&ignitev1.PurgeDeadLettersRequest{Filter: filter, Limit: pageOf(limit, int(all.Purged))})
		if err != nil {
			return errors.Join(c.printPurged(all), fmt.Errorf("purge dead letters: %w", err))
		}
		all.Purged += answer.GetPurged()
		all.More = answer.GetMore()
		if !all.More || answer.GetPurged() == 0 || (limit > 0 && all.Purged >= limit) {
			return c.printPurged(all)
		}
	}
}

func (c *client) printPurged(answer *ignitev1.PurgeDeadLettersResponse) error {
	return c.print(answer, func() string { return fmt.Sprintf("Purged %d dead letters\n", answer.GetPurged()) })
}
