package main

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Roles of a process.
const (
	roleGateway = "gateway"
	roleWorker  = "worker"
)

// What a promise to a caller waits for when NATS runs inside.
const (
	syncAlways   = "always"
	syncInterval = "interval"
)

// Forms of the log.
const (
	logText = "text"
	logJSON = "json"
)

// Config is everything that is set from outside. loadConfig fills it, settings says what each field is called.
type Config struct {
	DataDir string
	Roles   []string
	Log     LogConfig
	Gateway GatewayConfig
	OIDC    OIDCConfig
	TLS     TLSConfig
	Pods    PodsConfig
	NATS    NATSConfig
	Engine  EngineConfig
}

// LogConfig says what is logged and how.
type LogConfig struct {
	Level  slog.Level
	Format string
}

// GatewayConfig says where callers come in and what they may send.
type GatewayConfig struct {
	APIListenAddr    string
	HTTPListenAddr   string
	BaseDomain       string
	MaxPayloadBytes  int64
	MaxCodeBytes     int64
	MaxUnpackedBytes int64
}

// TLSConfig says how the HTTP and gRPC listeners are encrypted; with none of it they are not. A certificate is given in files, or fetched and renewed
// automatically for the base domain.
type TLSConfig struct {
	CertFile, KeyFile string
	// AutoEmail is the account's address with the authority, which turns automatic certificates on.
	AutoEmail string
	// AutoCA is the directory URL of the authority; empty is the library's default.
	AutoCA string
}

// PodsConfig says where pods run and how they are kept in their place.
type PodsConfig struct {
	Sandbox        string
	DockerHost     string
	MaxReplicas    int
	LeastScaledown time.Duration
	IdleTeardown   time.Duration
	WarmPoolBytes  int64
	MaxHeld        int
	MaxHeldAll     int
	MaxHeldBytes   int64
}

// How pods are kept in their place.
const (
	sandboxAuto     = "auto"
	sandboxRequired = "required"
	sandboxOff      = "off"
)

// OIDCConfig names the identity provider; both fields are empty without one.
type OIDCConfig struct {
	Issuer   string
	Audience string
}

// NATSConfig says where the streams are and how large they may grow. Without a URL they are inside this process, and Sync and
// ListenAddr are about the server there.
type NATSConfig struct {
	URL           string
	Creds         string
	Replicas      int
	Sync          string
	MaxStoreBytes int64
	ListenAddr    string
}

// EngineConfig bounds how long things take and stay, and how often they are tried.
type EngineConfig struct {
	ColdStartBudget     time.Duration
	ListenLimit         time.Duration
	ExecutionRetention  time.Duration
	DrainTime           time.Duration
	MaxPlatformFailures int
	ReapAfter           time.Duration
}

// HasRole reports whether the process plays role.
func (c Config) HasRole(role string) bool { return slices.Contains(c.Roles, role) }

// defaultConfig answers what holds when nothing is set. A path in it may begin with "~/", which loadConfig resolves.
func defaultConfig() Config {
	return Config{
		DataDir: "~/.local/share/ignite",
		Roles:   []string{roleGateway, roleWorker},
		Log:     LogConfig{Level: slog.LevelInfo, Format: logText},
		Gateway: GatewayConfig{
			APIListenAddr:    "127.0.0.1:50051",
			HTTPListenAddr:   "127.0.0.1:8080",
			BaseDomain:       "ignite.localhost",
			MaxPayloadBytes:  64 << 20,
			MaxCodeBytes:     64 << 20,
			MaxUnpackedBytes: 512 << 20,
		},
		NATS: NATSConfig{Replicas: 1, Sync: syncAlways},
		Pods: PodsConfig{
			Sandbox:        sandboxAuto,
			MaxReplicas:    5,
			LeastScaledown: 30 * time.Second,
			IdleTeardown:   24 * time.Hour,
			MaxHeld:        10_000,
			MaxHeldAll:     50_000,
			MaxHeldBytes:   256 << 20,
		},
		Engine: EngineConfig{
			ColdStartBudget:     600 * time.Second,
			ListenLimit:         60 * time.Second,
			ExecutionRetention:  72 * time.Hour,
			DrainTime:           30 * time.Second,
			MaxPlatformFailures: 5,
			ReapAfter:           5 * time.Minute,
		},
	}
}

// setting is one thing that can be set. Its name has three spellings: max_code_bytes in the file,
// --max-code-bytes as a flag, IGNITE_MAX_CODE_BYTES in the environment.
type setting struct {
	name  string
	value pflag.Value
	usage string
}

func (s setting) flag() string { return flagName(s.name) }
func (s setting) env() string  { return envName(s.name) }

func flagName(name string) string { return strings.ReplaceAll(name, "_", "-") }

const envPrefix = "IGNITE_"

func envName(name string) string { return envPrefix + strings.ToUpper(name) }

// settings is the one table behind flags, environment, file and documentation. The values read and write c.
func (c *Config) settings() []setting {
	return []setting{
		{"data_dir", (*textValue)(&c.DataDir), "folder of everything that is kept: streams, code of apps, the key of tokens"},
		{"roles", (*listValue)(&c.Roles), "what this process does: gateway takes calls, worker takes work from the queue"},
		{"log_level", (*levelValue)(&c.Log.Level), "least level that is logged: debug, info, warn or error"},
		{"log_format", (*textValue)(&c.Log.Format), "form of the log: text or json"},

		{"api_listen_addr", (*textValue)(&c.Gateway.APIListenAddr), "address of the gRPC API"},
		{"http_listen_addr", (*textValue)(&c.Gateway.HTTPListenAddr), "address of the HTTP API, of direct calls and of health checks"},
		{"base_domain", (*textValue)(&c.Gateway.BaseDomain), "domain under which published apps have their host names"},
		{"max_payload_bytes", (*bytesValue)(&c.Gateway.MaxPayloadBytes), "largest body of a call, and largest result that is kept"},
		{"max_code_bytes", (*bytesValue)(&c.Gateway.MaxCodeBytes), "largest code archive that may be uploaded"},
		{"max_unpacked_bytes", (*bytesValue)(&c.Gateway.MaxUnpackedBytes), "most that a code archive may unpack to"},

		{"oidc_issuer", (*textValue)(&c.OIDC.Issuer), "URL of the OpenID Connect provider whose tokens are accepted"},
		{"oidc_audience", (*textValue)(&c.OIDC.Audience), "audience that tokens of the provider must be meant for"},

		{"tls_cert_file", (*textValue)(&c.TLS.CertFile), "certificate chain of the listeners, in PEM; it is read again when it changes"},
		{"tls_key_file", (*textValue)(&c.TLS.KeyFile), "its private key, in PEM"},
		{"tls_auto_email", (*textValue)(&c.TLS.AutoEmail), "address of an account with a certificate authority: certificates of the base domain and its apps are fetched and renewed automatically"},
		{"tls_auto_ca", (*textValue)(&c.TLS.AutoCA), "ACME directory of the authority; empty is Let's Encrypt"},

		{"sandbox", (*textValue)(&c.Pods.Sandbox), "how far processes of apps are confined: auto (as far as the machine allows, and the log says how far), required (do not run without all of it) or off"},
		{"docker_host", (*textValue)(&c.Pods.DockerHost), "Docker engine for apps that are images, such as unix:///var/run/docker.sock; empty runs no images"},
		{"max_replicas", (*countValue)(&c.Pods.MaxReplicas), "most pods that any app gets, whatever it asks for"},
		{"least_scaledown_secs", (*secondsValue)(&c.Pods.LeastScaledown), "shortest scale-down period that an app gets"},
		{"idle_teardown", (*durationValue)(&c.Pods.IdleTeardown), "how long an app is idle until its unpacked code leaves the disk"},
		{"warm_pool_bytes", (*bytesValue)(&c.Pods.WarmPoolBytes), "how much memory idle pods may hold that are frozen instead of stopped; 0 stops them"},
		{"max_held", (*countValue)(&c.Pods.MaxHeld), "most calls of one app that wait for a pod"},
		{"max_held_all", (*countValue)(&c.Pods.MaxHeldAll), "most calls of all apps that wait for a pod"},
		{"max_held_bytes", (*bytesValue)(&c.Pods.MaxHeldBytes), "most bytes that waiting calls of all apps have in memory; one app gets a quarter of it"},

		{"nats_url", (*textValue)(&c.NATS.URL), "NATS servers to use, separated by commas; empty runs one inside this process"},
		{"nats_creds", (*textValue)(&c.NATS.Creds), "credentials file for the servers at the URL"},
		{"replicas", (*countValue)(&c.NATS.Replicas), "copies that JetStream keeps of everything; more than 1 needs a cluster at the URL"},
		{"sync", (*textValue)(&c.NATS.Sync), "when the server inside syncs to disk: always (before a caller is answered) or interval (a loss of power may lose the last writes)"},
		{"max_store_bytes", (*bytesValue)(&c.NATS.MaxStoreBytes), "most that everything in NATS may take together, per replica; 0 is 8 GiB each for waiting work, output, executions, payloads and code, and half as much each for delayed work and for dead letters"},
		{"nats_listen_addr", (*textValue)(&c.NATS.ListenAddr), "address at which the server inside can be inspected with NATS tools; it has no authentication"},

		{"cold_start_budget_secs", (*secondsValue)(&c.Engine.ColdStartBudget), "longest that a call waits for a pod to start"},
		{"listen_limit_secs", (*secondsValue)(&c.Engine.ListenLimit), "longest that an app's program may take until it listens on $PORT"},
		{"execution_retention", (*durationValue)(&c.Engine.ExecutionRetention), "how long a finished execution can be read"},
		{"drain_secs", (*secondsValue)(&c.Engine.DrainTime), "how long running calls may take after the process is told to stop"},
		{"max_platform_failures", (*countValue)(&c.Engine.MaxPlatformFailures), "how often an execution may fail for reasons of the platform, such as a worker that died, before it is given up"},
		{"reap_after", (*durationValue)(&c.Engine.ReapAfter), "how old a record, work or payload is before it counts as lost when what belongs to it is missing"},
	}
}

// configTable renders the settings as the Markdown table of the README.
func configTable() string {
	var table strings.Builder
	table.WriteString("| Environment | Flag | Default | Meaning |\n|---|---|---|---|\n")
	row := func(name, value, usage string) {
		if value != "" {
			value = "`" + value + "`"
		}
		cells := []string{"`" + envName(name) + "`", "`--" + flagName(name) + "`", value, usage}
		table.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	row(configSetting, "", configUsage)
	config := defaultConfig()
	for _, s := range config.settings() {
		row(s.name, s.value.String(), s.usage)
	}
	return table.String()
}
