package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// configSetting names the file that the other settings may be in.
const (
	configSetting = "config"
	configUsage   = "YAML file with any of the settings, each under its flag's name with _ for -"
)

// addConfigFlags gives flags --config and one flag for each setting, or for those in only.
func addConfigFlags(flags *pflag.FlagSet, only ...string) {
	config := defaultConfig()
	for _, s := range config.settings() {
		if len(only) == 0 || slices.Contains(only, s.name) {
			flags.Var(&given{text: s.value.String(), kind: s.value.Type()}, s.flag(), s.usage+" ("+s.env()+")")
		}
	}
	flags.String(configSetting, "", configUsage+" ("+envName(configSetting)+")")
}

// loadConfig reads the settings: a flag that was given goes before the environment, that before the file, that before the
// default. A variable that is empty counts as not set. The error tells all faults at once; the warnings tell
// what is allowed and most likely not meant.
func loadConfig(flags *pflag.FlagSet, environ []string) (config Config, warnings []string, err error) {
	config = defaultConfig()
	layers := koanf.New(".")
	faults := loadLayers(layers, flags, environ)
	faults = append(faults, config.read(layers)...)
	faults = append(faults, config.resolvePaths(variables(environ)["HOME"])...)
	faults = append(faults, config.Validate())
	warnings = append(unknownVariables(environ), config.warnings()...)
	return config, warnings, errors.Join(faults...)
}

func loadLayers(layers *koanf.Koanf, flags *pflag.FlagSet, environ []string) []error {
	var faults []error
	if path := configPath(flags, environ); path != "" {
		if err := layers.Load(file.Provider(path), yaml.Parser()); err != nil {
			faults = append(faults, fmt.Errorf("read the configuration file %s: %w", path, err))
		}
		faults = append(faults, unknownKeys(layers, path)...)
	}
	names := settingNames()
	environment := env.Provider("", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(variable, value string) (string, any) {
			name := strings.ToLower(strings.TrimPrefix(variable, envPrefix))
			if value == "" || !slices.Contains(names, name) {
				return "", nil
			}
			return name, value
		},
	})
	commandLine := posflag.ProviderWithFlag(flags, ".", nil, func(f *pflag.Flag) (string, any) {
		if name := strings.ReplaceAll(f.Name, "-", "_"); slices.Contains(names, name) {
			return name, f.Value.String()
		}
		return "", nil
	})
	return append(faults, layers.Load(environment, nil), layers.Load(commandLine, nil))
}

func configPath(flags *pflag.FlagSet, environ []string) string {
	var path string
	if f := flags.Lookup(configSetting); f != nil {
		path = f.Value.String()
	}
	return cmp.Or(path, variables(environ)[envName(configSetting)])
}

func settingNames() []string {
	var names []string
	config := defaultConfig()
	for _, s := range config.settings() {
		names = append(names, s.name)
	}
	return names
}

// read takes over what is set; a field keeps its default when its text cannot be read.
func (c *Config) read(layers *koanf.Koanf) []error {
	var faults []error
	for _, s := range c.settings() {
		raw := layers.Get(s.name)
		if raw == nil {
			continue
		}
		text, err := asText(raw)
		if err == nil {
			err = s.value.Set(text)
		}
		if err != nil {
			faults = append(faults, fault(s.name, cmp.Or(text, fmt.Sprint(raw)), err.Error()))
		}
	}
	return faults
}

// asText brings what YAML has already given a type back to the one form that every layer has.
func asText(raw any) (string, error) {
	switch raw := raw.(type) {
	case map[string]any:
		return "", errors.New("one value, not a section")
	case []any:
		items := make([]string, len(raw))
		for i, item := range raw {
			items[i] = fmt.Sprint(item)
		}
		return strings.Join(items, ","), nil
	default:
		return fmt.Sprint(raw), nil
	}
}

// resolvePaths makes paths independent of the folder that the process happens to be in: pods run in another.
func (c *Config) resolvePaths(home string) []error {
	var faults []error
	for name, path := range map[string]*string{"data_dir": &c.DataDir, "nats_creds": &c.NATS.Creds} {
		rest, inHome := strings.CutPrefix(*path, "~/")
		if inHome && home == "" {
			faults = append(faults, fault(name, *path, "a path without ~, since HOME is not set"))
			continue
		}
		if inHome {
			*path = filepath.Join(home, rest)
		}
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", envName(name), err))
			continue
		}
		*path = absolute
	}
	return faults
}

func variables(environ []string) map[string]string {
	found := make(map[string]string, len(environ))
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		found[name] = value
	}
	return found
}

// unknownKeys answers a fault for each key of the file that is no setting.
func unknownKeys(layers *koanf.Koanf, path string) []error {
	var faults []error
	names := settingNames()
	for _, key := range layers.Keys() {
		// A section under the name of a setting is for read to refuse.
		if name, _, _ := strings.Cut(key, "."); slices.Contains(names, name) {
			continue
		}
		wanted := strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToLower(key))
		faults = append(faults, fmt.Errorf("%s: there is no setting %q%s", path, key, didYouMean(wanted, names)))
	}
	return faults
}

// clientVariables belong to the command ignite, and are often set in the same shell.
func clientVariables() []string {
	return []string{"IGNITE_TOKEN", "IGNITE_API_ENDPOINT", "IGNITE_CONFIG_DIR", "IGNITE_ORG_ID", "IGNITE_ORG_NAME", "IGNITE_DEBUG"}
}

// unknownVariables are warned of and not refused: Kubernetes sets variables such as IGNITE_PORT for every service by that name.
func unknownVariables(environ []string) []string {
	known := []string{envName(configSetting)}
	for _, name := range settingNames() {
		known = append(known, envName(name))
	}
	var warnings []string
	for _, variable := range slices.Sorted(maps.Keys(variables(environ))) {
		if !strings.HasPrefix(variable, envPrefix) || slices.Contains(known, variable) || slices.Contains(clientVariables(), variable) {
			continue
		}
		warnings = append(warnings, variable+" is set and means nothing here"+didYouMean(variable, known))
	}
	return warnings
}

// didYouMean answers the known name nearest to what was written, if one is near enough to be a slip: a short word is near to others
// by chance.
func didYouMean(written string, known []string) string {
	slips := min(3, len(written)/2)
	nearest := slices.MinFunc(known, func(a, b string) int { return editDistance(written, a) - editDistance(written, b) })
	if editDistance(written, nearest) > slips {
		return ""
	}
	return "; did you mean " + nearest + "?"
}

// editDistance counts the bytes to insert, delete or replace to get from a to b (Levenshtein), row by row.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
