package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// maxPage is the most executions that one request lists, redrives or purges.
const maxPage = 1000

func newExecutionListCommand(c *client) *cobra.Command {
	var filter filterFlags
	var limit uint32
	var all, deadLetters bool
	var cursor string
	command := &cobra.Command{
		Use:     "list [ORG[:APP]]",
		Aliases: []string{"ls"},
		Short:   "List executions, newest first",
		Long: `List the executions of an organization, or those of one app of it, newest first: the newest 50, unless --limit or --all
says otherwise. Their results are not listed; 'ignite execution get' shows one.

ORG:APP are the executions that ORG submitted to its own app. Those that it submitted to an app of another organization are
listed with --app, such as --app public:echo.`,
		Example: `  ignite execution list
  ignite execution list acme:hello --status failed,timeout --since 1h
  ignite execution list acme --dead-letters --all -o json
  ignite execution list --app public:echo --since 2026-11-23T00:00:00Z --until 2026-11-24T00:00:00Z`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			org, err := c.listed(args, &filter)
			if err != nil {
				return err
			}
			chosen, err := filter.filter(org, time.Now())
			if err != nil {
				return err
			}
			if all {
				limit = 0
			} else if limit == 0 {
				return usagef("--limit 0 lists nothing: --all lists everything")
			}
			request := listRequest(chosen, deadLetters)
			request.Cursor = cursor
			return c.printList(command.Context(), request, limit)
		},
	}
	filter.register(command)
	command.Flags().Uint32Var(&limit, "limit", 50, "list at most this many executions")
	command.Flags().BoolVar(&all, "all", false, "list all of them")
	command.Flags().StringVar(&cursor, "cursor", "", "go on after a list that --limit ended, with its nextCursor")
	command.Flags().BoolVar(&deadLetters, "dead-letters", false, "only those that 'ignite execution redrive' can run again")
	command.MarkFlagsMutuallyExclusive("limit", "all")
	return command
}

// listed is the organization whose executions are meant. An app that is named with it becomes part of the filter.
func (c *client) listed(args []string, filter *filterFlags) (string, error) {
	if len(args) == 0 {
		return c.knownOrganization()
	}
	org, app, both := strings.Cut(strings.Replace(args[0], "/", ":", 1), ":")
	if _, err := checkOrganization(org); err != nil {
		return "", err
	}
	if both {
		if filter.app != "" {
			return "", usagef("give the app as %s or with --app, not both", args[0])
		}
		if !validName.MatchString(app) {
			return "", invalidName("app", app)
		}
		filter.app = app
	}
	return org, nil
}

func listRequest(filter *ignitev1.ExecutionFilter, deadLetters bool) *ignitev1.ListExecutionsRequest {
	return &ignitev1.ListExecutionsRequest{
		OrganizationName: filter.GetOrganizationName(),
		AppName:          filter.GetAppName(),
		Statuses:         filter.GetStatuses(),
		From:             filter.GetFrom(),
		To:               filter.GetTo(),
		DeadLetters:      deadLetters,
	}
}

func (c *client) printList(ctx context.Context, request *ignitev1.ListExecutionsRequest, limit uint32) error {
	var answer *ignitev1.ListExecutionsResponse
	err := c.withConnection(func(conn *connection) (err error) {
		answer, err = listExecutions(ctx, conn, request, limit)
		return err
	})
	if err != nil {
		return fmt.Errorf("list executions: %w", err)
	}
	if err := c.print(answer, func() string { return executionsTable(answer.GetExecutions()) }); err != nil {
		return err
	}
	if c.tables() && answer.GetNextCursor() != "" {
		c.tell("There are more: see them with --all, or go on with --cursor %s", answer.GetNextCursor())
	}
	return nil
}

// listExecutions puts the pages of a list together, up to limit executions; 0 is all of them.
func listExecutions(
	ctx context.Context, conn *connection, request *ignitev1.ListExecutionsRequest, limit uint32,
) (*ignitev1.ListExecutionsResponse, error) {
	all := &ignitev1.ListExecutionsResponse{}
	for {
		request.Limit = maxPage
		if limit > 0 {
			request.Limit = min(maxPage, limit-uint32(len(all.Executions)))
		}
		page, err := ask(ctx, conn, ignitev1.ComputeServiceClient.ListExecutions, request)
		if err != nil {
			return nil, err
		}
		all.Executions = append(all.Executions, page.Executions...)
		all.NextCursor, request.Cursor = page.NextCursor, page.NextCursor
		if page.NextCursor == "" || (limit > 0 && len(all.Executions) >= int(limit)) {
			return all, nil
		}
	}
}

func executionsTable(executions []*ignitev1.Execution) string {
	rows := make([][]string, len(executions))
	for i, execution := range executions {
		rows[i] = []string{
			execution.GetId(), execution.GetAppId(), statusText(execution), count(execution.GetAttempt()),
			instant(execution.GetCreatedAtMs()), instant(execution.GetFinishedAtMs()), execution.GetError().GetCode(),
		}
	}
	return grid([]string{"execution", "app", "status", "attempt", "submitted", "ended", "error"}, rows)
}
