package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dodil.io/ignite/gateway/auth"
)

// keyPath is where the key of tokens lies: with the data it opens.
func keyPath(dataDir string) string { return filepath.Join(dataDir, "token.key") }

// newTokenCommand answers `ignited token`, which signs with the key in the data folder and needs no running server.
func newTokenCommand() *cobra.Command {
	var request auth.TokenRequest
	command := &cobra.Command{
		Use:   "token --org NAME",
		Short: "Print a token for this server's API",
		Long: "Print a token signed with the key in the data folder, which is made if there is none.\n" +
			"Whoever may read that folder can make tokens for any organization.",
		Example: "  ignited token --org acme-corp --scope InvokeApp --ttl 1h",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			config, warnings, err := loadConfig(command.Flags(), os.Environ())
			if err != nil {
				return fmt.Errorf("the configuration has faults:\n%w", err)
			}
			for _, warning := range warnings {
				_, _ = fmt.Fprintln(command.ErrOrStderr(), "warning:", warning)
			}
			token, err := signToken(config.DataDir, request)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), token)
			return err
		},
	}
	const aDay = 24 * time.Hour
	flags := command.Flags()
	flags.StringVar(&request.Org, "org", "", "`name` of the organization that the token is for")
	flags.StringVar(&request.OrgID, "org-id", "", "`id` of the organization (default its name)")
	flags.StringVar(&request.Subject, "subject", "", "`name` of who uses the token")
	flags.StringSliceVar(&request.Scopes, "scope", auth.AllScopes(), "what the token allows, any of "+strings.Join(auth.AllScopes(), ", "))
	flags.DurationVar(&request.TTL, "ttl", aDay, "how long the token is good")
	addConfigFlags(flags, "data_dir")
	_ = command.MarkFlagRequired("org") // fails only if there is no such flag
	return command
}

// signToken checks request first, so that a slip does not leave a key behind in the wrong folder.
func signToken(dataDir string, request auth.TokenRequest) (string, error) {
	if err := request.Validate(); err != nil {
		return "", err
	}
	key, err := auth.LoadOrCreateKey(keyPath(dataDir))
	if err != nil {
		return "", err
	}
	return auth.Sign(key, request, time.Now())
}
