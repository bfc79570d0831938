package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const versionPrefix = "VERSION_STATUS_"

func newVersionCommand(c *client) *cobra.Command {
	return newGroup("version", "List and try an app's versions and go back to one",
		newVersionListCommand(c), newVersionGetCommand(c), newVersionRollbackCommand(c), newVersionCodeCommand(c),
		newVersionTestCommand(c))
}

func newVersionListCommand(c *client) *cobra.Command {
	var limit uint32
	var cursor string
	command := &cobra.Command{
		Use:     "list APP",
		Aliases: []string{"ls"},
		Short:   "List an app's published versions, newest first",
		Example: "  ignite version list acme:hello",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			var answer *ignitev1.ListAppVersionsResponse
			err = c.withConnection(func(conn *connection) error {
				answer, err = listVersions(command.Context(), conn, app, limit, cursor)
				return err
			})
			if err != nil {
				return fmt.Errorf("list the versions of %s: %w", app, err)
			}
			return c.print(answer, func() string { return versionsTable(answer.GetVersions()) })
		},
	}
	command.Flags().Uint32Var(&limit, "limit", 0, "list at most this many versions (0 = all)")
	command.Flags().StringVar(&cursor, "cursor", "", "go on after a list that --limit ended, with its nextCursor")
	return command
}

// listVersions puts the pages of a list together, up to limit versions; 0 is all of them.
func listVersions(
	ctx context.Context, conn *connection, app appRef, limit uint32, cursor string,
) (*ignitev1.ListAppVersionsResponse, error) {
	all := &ignitev1.ListAppVersionsResponse{NextCursor: cursor}
	for {
		request := &ignitev1.ListAppVersionsRequest{
			OrganizationName: app.org, AppName: app.name, Cursor: all.NextCursor,
		}
		if limit > 0 {
			request.Limit = limit - uint32(len(all.Versions))
		}
		page, err := ask(ctx, conn, ignitev1.ComputeServiceClient.ListAppVersions, request)
		if err != nil {
			return nil, err
		}
		all.Versions = append(all.Versions, page.Versions...)
		all.NextCursor = page.NextCursor
		if page.NextCursor == "" || (limit > 0 && len(all.Versions) >= int(limit)) {
			return all, nil
		}
	}
}

func newVersionGetCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "get APP VERSION",
		Short:   "Show an app as it was when a version was published",
		Example: "  ignite version get acme:hello 3",
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
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.GetAppVersion,
				&ignitev1.GetAppVersionRequest{OrganizationName: app.org, AppName: app.name, Version: version})
			if err != nil {
				return fmt.Errorf("get version %d of %s: %w", version, app, err)
			}
			return c.print(answer, func() string { return appTable(answer.GetApp()) })
		},
	}
}

func newVersionRollbackCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "rollback APP [VERSION]",
		Short:   "Let an earlier version serve, by default the one before",
		Example: "  ignite version rollback acme:hello\n  ignite version rollback acme:hello 3",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			var version uint32 // 0 is the one before the active one
			if len(args) == 2 {
				if version, err = parseVersion(args[1]); err != nil {
					return err
				}
			}
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.RollbackApp,
				&ignitev1.RollbackAppRequest{OrganizationName: app.org, AppName: app.name, Version: version})
			if err != nil {
				return fmt.Errorf("roll %s back: %w", app, err)
			}
			return c.print(answer, func() string {
				return fmt.Sprintf("%s version %d serves\n", app, answer.GetApp().GetActiveVersion())
			})
		},
	}
}

func newVersionCodeCommand(c *client) *cobra.Command {
	var version uint32
	var file string
	command := &cobra.Command{
		Use:   "code APP",
		Short: "Download the archive of a version, as it was uploaded",
		Long: `Download the archive of a version, as it was uploaded, by default that of the version that serves.
It is written to standard output, or to --file.`,
		Example: `  ignite version code acme:hello > hello.tar.gz
  ignite version code hello --version 3 --file hello-3.tar.gz`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			app, err := c.app(args[0])
			if err != nil {
				return err
			}
			if file == "" && c.tables() && isTerminal(c.stdout) {
				return usagef("an archive is not for a terminal: give --file, or send the output into a file")
			}
			answer, err := askOnce(command.Context(), c, ignitev1.ComputeServiceClient.GetAppCode,
				&ignitev1.GetAppCodeRequest{OrganizationName: app.org, AppName: app.name, Version: version})
			if err != nil {
				return fmt.Errorf("get the code of %s: %w", app, err)
			}
			if file != "" {
				return os.WriteFile(file, answer.GetSourceCode(), 0o644)
			}
			return c.print(answer, func() string { return string(answer.GetSourceCode()) })
		},
	}
	command.Flags().Uint32Var(&version, "version", 0, "version to download (0 = the one that serves)")
	command.Flags().StringVarP(&file, "file", "f", "", "`FILE` to write")
	return command
}

func parseVersion(text string) (uint32, error) {
	version, err := strconv.ParseUint(text, 10, 32)
	if err != nil || version == 0 {
		return 0, usagef("%q is no version: versions are numbered from 1", text)
	}
	return uint32(version), nil
}

func versionsTable(versions []*ignitev1.AppVersionInfo) string {
	rows := make([][]string, len(versions))
	for i, version := range versions {
		rows[i] = []string{
			fmt.Sprint(version.GetVersion()), shortEnum(version.GetStatus().String(), versionPrefix),
			shortEnum(version.GetCodeKind().String(), "CODE_KIND_"), runtimeText(version.GetRuntime()),
			shortEnum(version.GetResourceTier().String(), tierPrefix), instant(version.GetCreatedAtMs()),
			shortHash(version.GetCodeHash()),
		}
	}
	return grid([]string{"version", "status", "kind", "runtime", "tier", "published", "code"}, rows)
}

func shortHash(hash string) string { return hash[:min(len(hash), 12)] }
