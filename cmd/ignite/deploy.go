package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func newAppDeployCommand(c *client) *cobra.Command {
	var settings settingFlags
	var source sourceFlags
	var name string
	var follow bool
	command := &cobra.Command{
		Use:   "deploy DIR|ARCHIVE|--image NAME",
		Short: "Bring code into service: create or update, save, compile, publish",
		Long: `Bring code into service in one step: create the app if there is none of its name, save the code as its draft,
compile it, update the app's settings and publish. The app's public URL is printed at the end. Code that does
not compile leaves what serves now as it is.

What the app is follows from its code, unless --runtime says it: handler.py makes it a Python function, Procfile or
Dockerfile an HTTP server, and main.go without either a Go function. A folder is packed without .git, node_modules,
__pycache__, target, .venv and symbolic links.

A deploy replaces the app's whole environment by what --env says, also by nothing; 'ignite app update --env'
changes single variables. Other settings of an app that exists change only if they are given.`,
		Example: `  ignite app deploy examples/hello
  ignite app deploy . --name acme:hello --env GREETING=Hi --tier small
  ignite app deploy build/app.tar.gz --name hello --runtime procfile
  ignite app deploy --image registry.example.com/team/web:1.2 --name web`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			source.code = strings.Join(args, "")
			if !source.given() {
				return usagef("say what to deploy: a folder, an archive, or an image with --image")
			}
			app, err := c.deployedApp(name, cmp.Or(source.code, source.image))
			if err != nil {
				return err
			}
			code, err := source.read(c)
			if err != nil {
				return err
			}
			return c.withConnection(func(conn *connection) error {
				compile := c.compileDraft
				if follow {
					compile = c.compileFollowed
				}
				return c.deploy(conn, app, code, command, &settings, compile)
			})
		},
	}
	settings.register(command)
	command.Flags().StringVar(&name, "name", "", "`NAME` of the app (default that of the folder or archive)")
	source.register(command)
	command.Flags().BoolVarP(&follow, "follow", "f", false, "show each line as the compiler prints it")
	return command
}

// compiling is a way to build an app's draft.
type compiling func(context.Context, *connection, appRef) (*ignitev1.CompileDraftResponse, error)

// deployedApp is the app that --name says, or else the one that is called like its code.
func (c *client) deployedApp(name, code string) (appRef, error) {
	if name != "" {
		return c.app(name)
	}
	path, err := filepath.Abs(code)
	if err != nil {
		return appRef{}, fmt.Errorf("find the name of %s: %w", code, err)
	}
	base := strings.ToLower(filepath.Base(path))
	for _, extension := range []string{".tar.gz", ".tgz", ".zip", ".py"} {
		base = strings.TrimSuffix(base, extension)
	}
	if !validName.MatchString(base) {
		return appRef{}, usagef("%q cannot be the name of an app: give one with --name", base)
	}
	return c.app(base)
}

func (c *client) deploy(
	conn *connection, app appRef, code *ignitev1.CodeSource, command *cobra.Command, settings *settingFlags, compile compiling,
) error {
	ctx := command.Context()
	apply, err := c.prepareApp(conn, app, command, settings)
	if err != nil {
		return err
	}
	draft := &ignitev1.SaveDraftRequest{OrganizationName: app.org, AppName: app.name, Code: code}
	if _, err := c.saveDraft(ctx, conn, draft); err != nil {
		return err
	}
	if _, err := compile(ctx, conn, app); err != nil {
		return err
	}
	if err := apply(); err != nil {
		return err
	}
	return c.publishDraft(ctx, conn, app)
}

// prepareApp creates the app, or gets ready to update the settings of the one there is. apply is to be called once the
// code has compiled, so that code which does not compile leaves a serving app as it was.
func (c *client) prepareApp(
	conn *connection, app appRef, command *cobra.Command, settings *settingFlags,
) (apply func() error, err error) {
	ctx := command.Context()
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.GetApp,
		&ignitev1.GetAppRequest{OrganizationName: app.org, AppName: app.name})
	if status.Code(err) == codes.NotFound {
		return func() error { return nil }, c.createDeployed(conn, app, command, settings)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", app, err)
	}
	request, err := settings.update(app, command, answer.GetApp())
	if err != nil {
		return nil, err
	}
	replaceEnv(request)
	return func() error { return c.updateDeployed(ctx, conn, request, answer.GetApp().GetEnv()) }, nil
}

func (c *client) createDeployed(conn *connection, app appRef, command *cobra.Command, settings *settingFlags) error {
	request, err := settings.create(app, command)
	if err != nil {
		return err
	}
	creating := c.progress.step("Creating " + app.String())
	defer creating.stop()
	if _, err := ask(command.Context(), conn, ignitev1.ComputeServiceClient.CreateApp, request); err != nil {
		return fmt.Errorf("create %s: %w", app, err)
	}
	creating.done()
	return nil
}

func (c *client) updateDeployed(
	ctx context.Context, conn *connection, request *ignitev1.UpdateAppConfigRequest, environment map[string]string,
) error {
	app := appRef{request.OrganizationName, request.AppName}
	updating := c.progress.step("Updating the settings of " + app.String())
	defer updating.stop()
	if _, err := ask(ctx, conn, ignitev1.ComputeServiceClient.UpdateAppConfig, request); err != nil {
		return fmt.Errorf("update %s: %w", app, err)
	}
	updating.done()
	c.warnRemoved(environment, request.GetReplaceEnv().GetValues())
	return nil
}

// warnRemoved names the variables that a deploy took away, since it does so by saying nothing about them.
func (c *client) warnRemoved(before, after map[string]string) {
	removed := slices.DeleteFunc(slices.Sorted(maps.Keys(before)), func(name string) bool {
		_, kept := after[name]
		return kept
	})
	if len(removed) > 0 {
		c.tell("Warning: no longer in the environment: %s", strings.Join(removed, ", "))
	}
}
