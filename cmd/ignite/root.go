package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// client is one run of the command line: the world outside it and the global flags.
type client struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	progress       *progress
	flags          globalFlags
	endpoint       string // of the server last called; for the words of an error
	started        bool   // a command began to run; errors before that are the user's typing
	lastByte       byte   // of the body that was written last
}

type globalFlags struct {
	output    string
	endpoint  string
	token     string
	org       string
	configDir string
	timeout   time.Duration
	timeGiven bool
	debug     bool
}

var outputFormats = []string{"table", "wide", "json", "yaml"}

func newRootCommand(c *client) *cobra.Command {
	root := &cobra.Command{
		Use:   "ignite",
		Short: "Deploy apps to Ignite, call them and follow their executions",
		Long: `Deploy apps to Ignite, call them and follow their executions.

An app is named ORG:APP (ORG/APP is the same). ORG may be left out: then it is what --org, IGNITE_ORG_NAME or the
configuration says, or else the organization in the token.

The token is taken from --token, DODIL_TOKEN, IGNITE_TOKEN or the configuration, in this order.

Exit codes: 0 done, 1 failed, 2 invalid argument, 3 unauthenticated, 4 permission denied, 5 not found,
6 already exists, 7 resource exhausted, 8 deadline exceeded, 9 unavailable, 10 internal error, 130 interrupted.`,
		Example: `  ignite app deploy examples/hello
  ignite invoke hello --payload '{"name": "Ada"}'
  ignite invoke hello --payload '{"name": "Ada"}' --async --watch`,
		Version:       clientVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          refuseUnknown,
		RunE:          showHelp,
	}
	root.SetVersionTemplate("ignite {{.Version}}\n")
	c.addGlobalFlags(root)
	root.AddCommand(
		newAppCommand(c), newDraftCommand(c), newVersionCommand(c),
		newInvokeCommand(c), newExecutionCommand(c), newConfigCommand(c),
	)
	c.markStart(root)
	return root
}

func (c *client) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVarP(&c.flags.output, "output", "o", "table", "`FORMAT` to print in: table, json or yaml (wide is table)")
	flags.StringVar(&c.flags.endpoint, "api-endpoint", "",
		"`HOST:PORT` of the server's gRPC API, with https:// before it for TLS on this machine (IGNITE_API_ENDPOINT; default "+defaultEndpoint+")")
	flags.StringVar(&c.flags.token, "token", "", "token to call with (DODIL_TOKEN, IGNITE_TOKEN)")
	flags.StringVar(&c.flags.org, "org", "", "`NAME` of the organization of apps named without one (IGNITE_ORG_NAME)")
	flags.StringVar(&c.flags.configDir, "config", "",
		"`DIR` of config.yaml (IGNITE_CONFIG_DIR, DODIL_CONFIG_DIR; default ~/.config/ignite)")
	flags.DurationVar(&c.flags.timeout, "timeout", 5*time.Minute,
		"how long one request may take, 0 for no limit; calls and watches have one only if this is given")
	flags.BoolVar(&c.flags.debug, "debug", false, "talk without TLS to any server (IGNITE_DEBUG)")
	completeFrom(root, "output", outputFormats)

	root.PersistentPreRunE = func(command *cobra.Command, _ []string) error {
		c.flags.timeGiven = command.Flags().Changed("timeout")
		if !slices.Contains(outputFormats, c.flags.output) {
			return fmt.Errorf("--output %q is none of %s", c.flags.output, strings.Join(outputFormats, ", "))
		}
		if c.flags.timeout < 0 {
			return fmt.Errorf("--timeout %s is negative", c.flags.timeout)
		}
		return nil
	}
}

// markStart notes when a command's own work begins. What cobra refuses before that (flags, number of
// arguments, unknown commands) has no type of its own and is told apart by this.
func (c *client) markStart(command *cobra.Command) {
	for _, child := range command.Commands() {
		c.markStart(child)
	}
	if work := command.RunE; work != nil {
		command.RunE = func(command *cobra.Command, args []string) error {
			c.started = true
			return work(command, args)
		}
	}
}

// newGroup is a command that only holds others; a word that names none of them is refused.
func newGroup(use, short string, children ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: use, Short: short, Args: refuseUnknown, RunE: showHelp}
	group.AddCommand(children...)
	return group
}

func showHelp(command *cobra.Command, _ []string) error { return command.Help() }

// refuseUnknown is for a command that only holds others: an argument can only be a mistyped one of them.
func refuseUnknown(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	command.SuggestionsMinimumDistance = 2 // letters to change
	message := fmt.Sprintf("unknown command %q for %q", args[0], command.CommandPath())
	if similar := command.SuggestionsFor(args[0]); len(similar) > 0 {
		message += "; did you mean " + strings.Join(similar, " or ") + "?"
	}
	return errors.New(message)
}

// completeFrom lets the shell complete a flag from a fixed list.
func completeFrom(command *cobra.Command, flag string, choices []string) {
	complete := cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)
	_ = command.RegisterFlagCompletionFunc(flag, complete) // fails only for a flag that does not exist
}

// clientVersion is the version the Go toolchain stamped into the binary.
func clientVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return cmp.Or(strings.Trim(info.Main.Version, "()"), "unknown")
}
