package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

const (
	defaultEndpoint = "127.0.0.1:50051"
	configName      = "config.yaml"
)

// configFile is what `ignite config set` keeps. It may hold a token: nobody but its owner may read it.
type configFile struct {
	Token       string `yaml:"token,omitempty"`
	APIEndpoint string `yaml:"api_endpoint,omitempty"`
	OrgID       string `yaml:"org_id,omitempty"`
	Org         string `yaml:"org,omitempty"`
}

var configKeys = []string{"token", "api_endpoint", "org_id", "org"}

// field is where the file keeps a key, or nil for an unknown one.
func (f *configFile) field(key string) *string {
	switch key {
	case "token":
		return &f.Token
	case "api_endpoint":
		return &f.APIEndpoint
	case "org_id":
		return &f.OrgID
	case "org":
		return &f.Org
	}
	return nil
}

// setting is a value and where it comes from.
type setting struct {
	value, source string
}

// settings are what a call needs to know, flag over environment over file over default.
type settings struct {
	token, endpoint, org, orgID setting
}

func (c *client) settings() (settings, error) {
	path := c.configPath()
	file, err := readConfig(path)
	if err != nil {
		return settings{}, err
	}
	return settings{
		token: first(setting{c.flags.token, "--token"}, c.env("DODIL_TOKEN"), c.env("IGNITE_TOKEN"),
			setting{file.Token, path}),
		endpoint: first(setting{c.flags.endpoint, "--api-endpoint"}, c.env("IGNITE_API_ENDPOINT"),
			setting{file.APIEndpoint, path}, setting{defaultEndpoint, "default"}),
		org:   first(setting{c.flags.org, "--org"}, c.env("IGNITE_ORG_NAME"), setting{file.Org, path}),
		orgID: first(c.env("IGNITE_ORG_ID"), setting{file.OrgID, path}),
	}, nil
}

func (c *client) env(name string) setting { return setting{strings.TrimSpace(c.getenv(name)), name} }

// first is the first setting with a value.
func first(candidates ...setting) setting {
	for _, candidate := range candidates {
		if candidate.value != "" {
			return candidate
		}
	}
	return setting{}
}

// configPath is where the configuration is, whether it exists or not; it is empty if nothing says where.
func (c *client) configPath() string {
	named := first(setting{value: c.flags.configDir}, c.env("IGNITE_CONFIG_DIR"), c.env("DODIL_CONFIG_DIR"))
	if named.value != "" {
		return filepath.Join(named.value, configName)
	}
	if base := c.getenv("XDG_CONFIG_HOME"); base != "" {
		return filepath.Join(base, "ignite", configName)
	}
	if home := c.getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", "ignite", configName)
	}
	return ""
}

// readConfig reads the file; one that does not exist is empty.
func readConfig(path string) (configFile, error) {
	if path == "" {
		return configFile{}, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return configFile{}, nil
	}
	if err != nil {
		return configFile{}, fmt.Errorf("read configuration: %w", err)
	}
	var file configFile
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return configFile{}, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return file, nil
}

// writeConfig replaces the file in one step, so that a crash leaves the old one or the new one.
func writeConfig(path string, file configFile) error {
	content, err := yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	draft, err := os.CreateTemp(dir, configName+".*") // its mode is 0600
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	defer func() { _ = os.Remove(draft.Name()) }() // gone already if all went well
	_, err = draft.Write(content)
	if err = errors.Join(err, draft.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

func newConfigCommand(c *client) *cobra.Command {
	return newGroup("config", "Keep the server's address, a token and an organization",
		newConfigSetCommand(c), newConfigViewCommand(c))
}

func newConfigSetCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "set token|api_endpoint|org_id|org VALUE",
		Short: "Keep a value in the configuration file",
		Long: `Keep a value in the configuration file, which only you may read.

VALUE - is read from standard input, which keeps a token out of the shell's history. An empty VALUE takes the key away.`,
		Example: `  ignite config set api_endpoint rpc.example.com:443
  ignited token --org acme | ignite config set token -`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: cobra.FixedCompletions(configKeys, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(command *cobra.Command, args []string) error {
			if !slices.Contains(configKeys, args[0]) {
				return usagef("%q is no key of the configuration; the keys are %s",
					args[0], strings.Join(configKeys, ", "))
			}
			value, err := c.argument(command.Context(), args[1])
			if err != nil {
				return err
			}
			return c.setConfig(args[0], strings.TrimSpace(value))
		},
	}
}

func (c *client) setConfig(key, value string) error {
	path := c.configPath()
	if path == "" {
		return usagef("there is no folder for the configuration: set IGNITE_CONFIG_DIR or HOME, or give --config")
	}
	file, err := readConfig(path)
	if err != nil {
		return err
	}
	if key == "api_endpoint" && value != "" {
		if _, _, err := parseEndpoint(value); err != nil {
			return err
		}
	}
	*file.field(key) = value
	return writeConfig(path, file)
}

func newConfigViewCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "view",
		Short: "Show the settings in force and where each comes from",
		Long:  "Show the settings in force and where each comes from. The token is masked.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			current, err := c.settings()
			if err != nil {
				return err
			}
			current.token.value = masked(current.token.value)
			return c.printSettings(current)
		},
	}
}

func (c *client) printSettings(current settings) error {
	values := []setting{current.token, current.endpoint, current.orgID, current.org} // as in configKeys
	type entry struct {
		Value  string `json:"value"`
		Source string `json:"source"`
	}
	document := make(map[string]entry)
	var rows [][]string
	for i, key := range configKeys {
		if values[i].value != "" {
			document[key] = entry{values[i].value, values[i].source}
			rows = append(rows, []string{key, values[i].value, values[i].source})
		}
	}
	return c.printValue(document, func() string { return grid([]string{"key", "value", "source"}, rows) })
}

// masked shows that there is a token, and the end of a long one to tell two apart.
func masked(token string) string {
	const shown, longEnough = 4, 32
	switch {
	case token == "":
		return ""
	case len(token) < longEnough:
		return "****"
	}
	return "****" + token[len(token)-shown:]
}
