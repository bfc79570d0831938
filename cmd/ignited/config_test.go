package main

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// load reads the configuration as the command does, with a home folder in the environment.
func load(t *testing.T, environ []string, args ...string) (Config, []string, error) {
	t.Helper()
	flags := pflag.NewFlagSet("ignited", pflag.ContinueOnError)
	addConfigFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return loadConfig(flags, append([]string{"HOME=/home/someone"}, environ...))
}

func mustLoad(t *testing.T, environ []string, args ...string) Config {
	t.Helper()
	config, warnings, err := load(t, environ, args...)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
	return config
}

func writeConfig(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreValidAndResolved(t *testing.T) {
	t.Parallel()
	want := defaultConfig()
	want.DataDir = "/home/someone/.local/share/ignite"
	if got := mustLoad(t, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestFlagOverEnvironmentOverFileOverDefault(t *testing.T) {
	t.Parallel()
	path := writeConfig(t, "base_domain: file.test\nreplicas: 1\nlog_level: warn\ndrain_secs: 1\nroles: [worker]\nmax_code_bytes: 1KiB\n")
	config := mustLoad(t,
		[]string{"IGNITE_BASE_DOMAIN=environment.test", "IGNITE_LOG_LEVEL=error", "IGNITE_DRAIN_SECS=2m", "IGNITE_MAX_CODE_BYTES="},
		"--config", path, "--base-domain", "flag.test", "--drain-secs=3")
	for name, pair := range map[string][2]any{
		"flag":                    {config.Gateway.BaseDomain, "flag.test"},
		"flag of seconds":         {config.Engine.DrainTime, 3 * time.Second},
		"environment":             {config.Log.Level, slog.LevelError},
		"file":                    {config.Roles, []string{"worker"}},
		"file, empty environment": {config.Gateway.MaxCodeBytes, int64(1024)},
		"default":                 {config.Engine.ExecutionRetention, 72 * time.Hour},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestConfigFileIsNamedByFlagOrEnvironment(t *testing.T) {
	t.Parallel()
	one, other := writeConfig(t, "base_domain: one.test"), writeConfig(t, "base_domain: other.test")
	if got := mustLoad(t, []string{"IGNITE_CONFIG=" + one}).Gateway.BaseDomain; got != "one.test" {
		t.Errorf("environment: got %s", got)
	}
	if got := mustLoad(t, []string{"IGNITE_CONFIG=" + one}, "--config", other).Gateway.BaseDomain; got != "other.test" {
		t.Errorf("flag: got %s", got)
	}
	_, _, err := load(t, nil, "--config", "/no/such/file.yaml", "--sync", "never")
	wantFault(t, err, "/no/such/file.yaml", "IGNITE_SYNC")
}

func TestExampleHasEverySettingWithItsDefault(t *testing.T) {
	t.Parallel()
	const example = "config.example.yaml"
	if got, want := mustLoad(t, nil, "--config", example), mustLoad(t, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("the example says %+v\nthe defaults are %+v", got, want)
	}
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := yaml.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for _, name := range settingNames() {
		if _, ok := keys[name]; !ok {
			t.Errorf("the example lacks %s", name)
		}
	}
}

func TestEveryFieldIsASetting(t *testing.T) {
	t.Parallel()
	var config Config
	reachable := map[uintptr]string{}
	for _, s := range config.settings() {
		at := reflect.ValueOf(s.value).Pointer()
		if taken, ok := reachable[at]; ok {
			t.Errorf("%s and %s set the same field", s.name, taken)
		}
		reachable[at] = s.name
	}
	for name, at := range fields(reflect.ValueOf(&config).Elem(), "Config") {
		if _, ok := reachable[at]; !ok {
			t.Errorf("%s cannot be set", name)
		}
	}
}

// fields answers where each field that is no section lies.
func fields(section reflect.Value, path string) map[string]uintptr {
	found := map[string]uintptr{}
	for i := range section.NumField() {
		field, name := section.Field(i), path+"."+section.Type().Field(i).Name
		if field.Kind() != reflect.Struct {
			found[name] = field.Addr().Pointer()
			continue
		}
		maps.Copy(found, fields(field, name))
	}
	return found
}

func TestEverySettingIsReadFromEveryLayer(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"data_dir": "/data", "roles": "worker", "log_level": "debug", "log_format": "json",
		"api_listen_addr": "[::1]:1", "http_listen_addr": ":2", "base_domain": "a.test",
		"max_payload_bytes": "1MiB", "max_code_bytes": "2MiB", "max_unpacked_bytes": "3MiB",
		"oidc_issuer": "https://id.test/realm", "oidc_audience": "ignite",
		"nats_url": "nats://a:4222,tls://b:4222", "nats_creds": "/creds", "replicas": "3",
		"sync": "interval", "max_store_bytes": "1GiB", "nats_listen_addr": "localhost:0",
		"cold_start_budget_secs": "5", "listen_limit_secs": "7", "execution_retention": "1h30m", "drain_secs": "0",
		"max_platform_failures": "9", "reap_after": "1m30s",
	} {
		file := writeConfig(t, name+`: "`+text+`"`)
		for layer, read := range map[string]func() (Config, []string, error){
			"flag":        func() (Config, []string, error) { return load(t, nil, "--"+flagName(name)+"="+text) },
			"environment": func() (Config, []string, error) { return load(t, []string{envName(name) + "=" + text}) },
			"file":        func() (Config, []string, error) { return load(t, nil, "--config", file) },
		} {
			config, _, _ := read() // some settings are refused without another one
			at := slices.IndexFunc(config.settings(), func(s setting) bool { return s.name == name })
			if got := config.settings()[at].value.String(); got != text {
				t.Errorf("%s from the %s: got %s, want %s", name, layer, got, text)
			}
		}
	}
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	path := writeConfig(t, "max_code_bytes: 64MB\nnats-url: nats://a\ncolour: red\ncolor: red\nlog: {level: info}\nsync: {mode: always}\n")
	_, _, err := load(t, []string{"IGNITE_DRAIN_SECS=soon", "IGNITE_LOG_LEVEL=loud"}, "--config", path,
		"--api-listen-addr", "localhost", "--http-listen-addr", "1.2.3.4:99999", "--roles", "gateway,janitor",
		"--base-domain", "Ignite.Local", "--max-payload-bytes", "2GiB", "--cold-start-budget-secs", "0", "--replicas", "3",
		"--oidc-issuer", "id.test", "--execution-retention", "72", "--log-format", "xml")
	wantFault(t, err,
		`IGNITE_MAX_CODE_BYTES (--max-code-bytes): "64MB" is not allowed; want bytes, as a whole number or with KiB`,
		path+`: there is no setting "nats-url"; did you mean nats_url?`,
		path+`: there is no setting "colour"`,
		path+`: there is no setting "color"`+"\n", // and no guess: roles is as near as chance
		path+`: there is no setting "log.level"; did you mean log_level?`,
		`IGNITE_SYNC (--sync): "map[mode:always]" is not allowed; want one value, not a section`,
		`IGNITE_DRAIN_SECS (--drain-secs): "soon" is not allowed; want a number of seconds`,
		`IGNITE_LOG_LEVEL (--log-level): "loud" is not allowed; want debug, info, warn or error`,
		`IGNITE_API_LISTEN_ADDR (--api-listen-addr): "localhost" is not allowed; want host:port`,
		`IGNITE_HTTP_LISTEN_ADDR (--http-listen-addr): "1.2.3.4:99999" is not allowed; want host:port`,
		`IGNITE_ROLES (--roles): "janitor" is not allowed; want gateway, worker or both`,
		`IGNITE_BASE_DOMAIN (--base-domain): "Ignite.Local" is not allowed`,
		`IGNITE_MAX_PAYLOAD_BYTES (--max-payload-bytes): "2GiB" is not allowed; want 1 to 1GiB`,
		`IGNITE_COLD_START_BUDGET_SECS (--cold-start-budget-secs): "0s" is not allowed; want 1s to 24h`,
		`IGNITE_REPLICAS (--replicas): "3" is not allowed; want 1, since the server inside is alone; more need IGNITE_NATS_URL`,
		`IGNITE_OIDC_ISSUER (--oidc-issuer): "id.test" is not allowed; want an http or https URL`,
		`IGNITE_OIDC_AUDIENCE (--oidc-audience): "" is not allowed; want the audience of the tokens`,
		`IGNITE_EXECUTION_RETENTION (--execution-retention): "72" is not allowed; want a number with its unit`,
		`IGNITE_LOG_FORMAT (--log-format): "xml" is not allowed; want text or json`,
	)
	if n := strings.Count(err.Error(), "\n") + 1; n != 19 {
		t.Errorf("%d faults, want 19:\n%v", n, err)
	}
}

func wantFault(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no fault")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\ndoes not say: %s", err, part)
		}
	}
}

func TestOneFault(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--roles=":                                    "IGNITE_ROLES",
		"--data-dir=":                                 "IGNITE_DATA_DIR",
		"--sync=":                                     "IGNITE_SYNC",
		"--replicas=0":                                "IGNITE_REPLICAS",
		"--replicas=many":                             "IGNITE_REPLICAS",
		"--replicas=6 --nats-url=nats://a":            "IGNITE_REPLICAS",
		"--nats-url=http://a":                         "IGNITE_NATS_URL",
		"--nats-url=nats://a,":                        "IGNITE_NATS_URL",
		"--nats-listen-addr=4222":                     "IGNITE_NATS_LISTEN_ADDR",
		"--max-store-bytes=1MiB":                      "IGNITE_MAX_STORE_BYTES",
		"--max-unpacked-bytes=-1":                     "IGNITE_MAX_UNPACKED_BYTES",
		"--max-payload-bytes=0":                       "IGNITE_MAX_PAYLOAD_BYTES",
		"--drain-secs=-1":                             "IGNITE_DRAIN_SECS",
		"--max-platform-failures=0":                   "IGNITE_MAX_PLATFORM_FAILURES",
		"--reap-after=100ms":                          "IGNITE_REAP_AFTER",
		"--execution-retention=0s":                    "IGNITE_EXECUTION_RETENTION",
		"--oidc-audience=ignite":                      "IGNITE_OIDC_ISSUER",
		"--oidc-issuer=https://id.test":               "IGNITE_OIDC_AUDIENCE",
		"--oidc-issuer=https://i?q --oidc-audience=a": "IGNITE_OIDC_ISSUER",
		"--base-domain=.localhost":                    "IGNITE_BASE_DOMAIN",
		"--base-domain=localhost:80":                  "IGNITE_BASE_DOMAIN",
		"--api-listen-addr=127.0.0.1:8080":            "IGNITE_API_LISTEN_ADDR",
		"--api-listen-addr=a:b":                       "IGNITE_API_LISTEN_ADDR",
	} {
		_, _, err := load(t, nil, strings.Fields(args)...)
		wantFault(t, err, want)
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one fault: %v", args, err)
		}
	}
}

func TestFaultDoesNotShowAPassword(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, nil, "--nats-url", "natz://user:s3cret@host:4222")
	wantFault(t, err, "IGNITE_NATS_URL", "host:4222")
	if strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

func TestHomeIsNeededOnlyForATilde(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("ignited", pflag.ContinueOnError)
	addConfigFlags(flags)
	_, _, err := loadConfig(flags, nil)
	wantFault(t, err, "IGNITE_DATA_DIR", "HOME")
	config, _, err := loadConfig(flags, []string{"IGNITE_DATA_DIR=relative"})
	if err != nil || !filepath.IsAbs(config.DataDir) {
		t.Errorf("got %s, %v", config.DataDir, err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environ []string
		args    []string
		want    string
	}{
		"a slip":                     {[]string{"IGNITE_DATADIR=/data"}, nil, "IGNITE_DATADIR is set and means nothing here; did you mean IGNITE_DATA_DIR?"},
		"a stranger":                 {[]string{"IGNITE_SERVICE_HOST=10.0.0.1"}, nil, "IGNITE_SERVICE_HOST is set and means nothing here"},
		"sync outside":               {nil, []string{"--nats-url=nats://a", "--sync=interval"}, "IGNITE_SYNC (--sync) is about the NATS server inside"},
		"listening outside":          {nil, []string{"--nats-url=nats://a", "--nats-listen-addr=127.0.0.1:0"}, "IGNITE_NATS_LISTEN_ADDR"},
		"credentials inside":         {nil, []string{"--nats-creds=/creds"}, "IGNITE_NATS_CREDS (--nats-creds) means nothing without IGNITE_NATS_URL"},
		"no sync":                    {nil, []string{"--sync=interval"}, "IGNITE_SYNC (--sync) lets a loss of power"},
		"an early reaper":            {nil, []string{"--reap-after=10s"}, "IGNITE_REAP_AFTER (--reap-after) is shorter"},
		"open to all":                {nil, []string{"--nats-listen-addr=:4222"}, "IGNITE_NATS_LISTEN_ADDR (--nats-listen-addr) opens"},
		"a provider without secrecy": {nil, []string{"--oidc-issuer=http://id.test", "--oidc-audience=a"}, "IGNITE_OIDC_ISSUER (--oidc-issuer) is not https"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, warnings, err := load(t, test.environ, test.args...)
			if err != nil || len(warnings) != 1 || !strings.HasPrefix(warnings[0], test.want) {
				t.Errorf("got %q, %v, want %q", warnings, err, test.want)
			}
		})
	}
	mustLoad(t, []string{"IGNITE_TOKEN=x", "IGNITE_API_ENDPOINT=x", "OTHER=x"}, "--nats-url=nats://a", "--config=config.example.yaml")
}

func TestConfigTableHasEverySetting(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(configTable()), "\n")
	if got, want := len(lines), 3+len(settingNames()); got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
	for _, line := range lines {
		if strings.Count(line, "|") != 5 {
			t.Errorf("not four cells: %s", line)
		}
	}
	for _, row := range []string{
		"| `IGNITE_CONFIG` | `--config` |  |",
		"| `IGNITE_MAX_PAYLOAD_BYTES` | `--max-payload-bytes` | `64MiB` |",
		"| `IGNITE_COLD_START_BUDGET_SECS` | `--cold-start-budget-secs` | `600` |",
		"| `IGNITE_EXECUTION_RETENTION` | `--execution-retention` | `72h` |",
		"| `IGNITE_NATS_URL` | `--nats-url` |  |",
		"| `IGNITE_ROLES` | `--roles` | `gateway,worker` |",
	} {
		if !strings.Contains(configTable(), row) {
			t.Errorf("the table lacks %s", row)
		}
	}
}
