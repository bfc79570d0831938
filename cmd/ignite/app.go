package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func newAppCommand(c *client) *cobra.Command {
	group := newGroup("app", "Create, deploy and look after apps",
		newAppDeployCommand(c), newAppCreateCommand(c), newAppGetCommand(c), newAppListCommand(c),
		newAppUpdateCommand(c), newAppStateCommand(c), newAppDeleteCommand(c))
	group.Aliases = []string{"function", "fn"}
	return group
}

func newAppCreateCommand(c *client) *cobra.Command {
	var settings settingFlags
	var source sourceFlags
	command := &cobra.Command{
		Use:   "create APP",
		Short: "Create an app without deploying it",
		Long: `Create an app. With --code or --image its first draft is saved too; 'ignite draft publish' lets it serve.
'ignite app deploy' does all of it in one step.`,
		Example: `  ignite app create acme:hello --tier small --description "says hello"
  ignite app create hello --env GREETING=Hi --code examples/hello`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			request, err := settings.create(app, command)
			if err != nil {
				return err
			}
			if source.given() {
				if request.Code, err = source.read(c); err != nil {
					return err
				}
			}
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.CreateApp, request)
			if err != nil {
				return fmt.Errorf("create %s: %w", app, err)
			}
			return c.print(answer, func() string { return createdTable(answer) })
		},
	}
	settings.register(command)
	source.register(command)
	command.Flags().StringVarP(&source.code, "code", "c", "",
		"`PATH` of a folder, a tar.gz or zip archive, or a single file to save as the first draft")
	return command
}

func newAppGetCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "get APP",
		Short:   "Show an app and its settings",
		Example: "  ignite app get acme:hello\n  ignite app get hello -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.GetApp,
				&ignitev1.GetAppRequest{OrganizationName: app.org, AppName: app.name})
			if err != nil {
				return fmt.Errorf("get %s: %w", app, err)
			}
			return c.print(answer, func() string { return appTable(answer.GetApp()) })
		},
	}
}

func newAppListCommand(c *client) *cobra.Command {
	var limit uint32
	var cursor string
	command := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the apps of an organization",
		Example: "  ignite app list\n  ignite app list --org acme -o json",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			org, err := c.organization()
			if err != nil {
				return err
			}
			var answer *ignitev1.ListAppsResponse
			err = c.withConnection(func(conn *connection) error {
				answer, err = listApps(command.Context(), conn, org, limit, cursor)
				return err
			})
			if err != nil {
				return fmt.Errorf("list the apps of %s: %w", org, err)
			}
			return c.print(answer, func() string { return appsTable(answer.GetApps()) })
		},
	}
	command.Flags().Uint32Var(&limit, "limit", 0, "list at most this many apps (0 = all)")
	command.Flags().StringVar(&cursor, "cursor", "", "go on after a list that --limit ended, with its nextCursor")
	return command
}

// listApps puts the pages of a list together, up to limit apps; 0 is all of them.
func listApps(
	ctx context.Context, conn *connection, org string, limit uint32, cursor string,
) (*ignitev1.ListAppsResponse, error) {
	all := &ignitev1.ListAppsResponse{NextCursor: cursor}
	for {
		request := &ignitev1.ListAppsRequest{OrganizationName: org, Cursor: all.NextCursor}
		if limit > 0 {
			request.Limit = limit - uint32(len(all.Apps))
		}
		page, err := ask(ctx, conn, ignitev1.ComputeServiceClient.ListApps, request)
		if err != nil {
			return nil, err
		}
		all.Apps = append(all.Apps, page.Apps...)
		all.NextCursor = page.NextCursor
		if page.NextCursor == "" || (limit > 0 && len(all.Apps) >= int(limit)) {
			return all, nil
		}
	}
}

func newAppUpdateCommand(c *client) *cobra.Command {
	var settings settingFlags
	var wholeEnv bool
	command := &cobra.Command{
		Use:   "update APP",
		Short: "Change an app's settings",
		Long: `Change the settings that are given and leave the others. Timeout, retries, scaling and concurrency change at once; what a pod
is made of (environment, tier, memory, CPU, health path) belongs to a version, and changes with the next one that is published.

--env adds to the environment, and --env NAME= takes a variable away; with --replace-env the variables given are
all there are. --memory, --cpu and --timeout-secs belong together: when one is given, the others go back to the
tier's. A setting of the retry policy, but for --backoff-jitter, goes back to its default with 0.`,
		Example: `  ignite app update hello --env GREETING=Hello --env OLD=
  ignite app update acme:hello --tier large --reserved 1
  ignite app update hello --max-attempts 5 --initial-backoff 2s --retry-statuses 429,502,503`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			return c.withConnection(func(conn *connection) error {
				return c.updateApp(conn, app, command, &settings, wholeEnv)
			})
		},
	}
	settings.register(command)
	command.Flags().BoolVar(&wholeEnv, "replace-env", false, "make the variables of --env the whole environment")
	return command
}

func (c *client) updateApp(
	conn *connection, app appRef, command *cobra.Command, settings *settingFlags, wholeEnv bool,
) error {
	ctx := command.Context()
	var current *ignitev1.AppMeta
	if anyGiven(command, slices.Concat(scalingFlags, retryFlagNames)) {
		answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.GetApp,
			&ignitev1.GetAppRequest{OrganizationName: app.org, AppName: app.name})
		if err != nil {
			return fmt.Errorf("get %s: %w", app, err)
		}
		current = answer.GetApp()
	}
	request, err := settings.update(app, command, current)
	if err != nil {
		return err
	}
	if wholeEnv {
		replaceEnv(request)
	}
	if proto.Equal(request, &ignitev1.UpdateAppConfigRequest{OrganizationName: app.org, AppName: app.name}) {
		return usagef("nothing to update: give at least one setting; 'ignite app update --help' lists them")
	}
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.UpdateAppConfig, request)
	if err != nil {
		return fmt.Errorf("update %s: %w", app, err)
	}
	return c.print(answer, func() string { return appTable(answer.GetApp()) + notesText(answer.GetNotes()) })
}

func newAppStateCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "state APP",
		Short:   "Show what runs of an app now, and why it does not start",
		Example: "  ignite app state acme:hello",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.GetAppState,
				&ignitev1.GetAppStateRequest{OrganizationName: app.org, AppName: app.name})
			if err != nil {
				return fmt.Errorf("get the state of %s: %w", app, err)
			}
			return c.print(answer, func() string { return stateTable(answer) })
		},
	}
}

func newAppDeleteCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "delete APP",
		Short: "Delete an app with its draft and all its versions",
		Long: `Delete an app with its draft and all its versions, and stop its pods. It does not ask, and there is no way
back. Executions stay readable until their retention ends; those that still wait end FAILED.`,
		Example: "  ignite app delete acme:hello",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.DeleteApp,
				&ignitev1.DeleteAppRequest{OrganizationName: app.org, AppName: app.name})
			if err != nil {
				return fmt.Errorf("delete %s: %w", app, err)
			}
			return c.print(answer, func() string { return "Deleted " + app.String() + "\n" })
		},
	}
}
