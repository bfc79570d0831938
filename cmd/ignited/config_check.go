package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fault says in one form for all settings which one it is, what was given and what is allowed.
func fault(name, given, allowed string) error {
	return fmt.Errorf("%s (--%s): %q is not allowed; want %s", envName(name), flagName(name), given, allowed)
}

// faults collects every fault, so that one start tells all of them.
type faults []error

func (f *faults) check(ok bool, name string, given any, allowed string) {
	if !ok {
		*f = append(*f, fault(name, fmt.Sprint(given), allowed))
	}
}

// Validate answers all faults at once, each by its setting.
func (c Config) Validate() error {
	var f faults
	c.checkProcess(&f)
	c.Gateway.check(&f)
	c.OIDC.check(&f)
	c.NATS.check(&f)
	c.TLS.check(&f)
	c.Pods.check(&f)
	c.Engine.check(&f)
	return errors.Join(f...)
}

func (c Config) checkProcess(f *faults) {
	f.check(c.DataDir != "", "data_dir", c.DataDir, "a folder")
	f.check(len(c.Roles) > 0, "roles", "", "gateway, worker or both")
	for _, role := range c.Roles {
		f.check(role == roleGateway || role == roleWorker, "roles", role, "gateway, worker or both")
	}
	f.check(c.Log.Format == logText || c.Log.Format == logJSON, "log_format", c.Log.Format, "text or json")
}

// domain is a host name of labels that DNS allows. It is lower case, as host names are compared.
var domain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// largestInMemory bounds what is held in memory as a whole.
const largestInMemory = 1 << 30

func (c GatewayConfig) check(f *faults) {
	f.check(isAddress(c.APIListenAddr), "api_listen_addr", c.APIListenAddr, "host:port")
	f.check(isAddress(c.HTTPListenAddr), "http_listen_addr", c.HTTPListenAddr, "host:port")
	f.check(c.APIListenAddr != c.HTTPListenAddr || strings.HasSuffix(c.HTTPListenAddr, ":0"),
		"http_listen_addr", c.HTTPListenAddr, "another address than "+envName("api_listen_addr"))
	f.check(len(c.BaseDomain) < 190 && domain.MatchString(c.BaseDomain), "base_domain", c.BaseDomain,
		"a domain of lower case labels without port, such as ignite.localhost")
	f.checkBytes("max_payload_bytes", c.MaxPayloadBytes, 1, largestInMemory)
	f.checkBytes("max_code_bytes", c.MaxCodeBytes, 1, largestInMemory)
	f.checkBytes("max_unpacked_bytes", c.MaxUnpackedBytes, 1, 1<<40)
}

func (c OIDCConfig) check(f *faults) {
	if c.Issuer == "" {
		f.check(c.Audience == "", "oidc_audience", c.Audience, "nothing, or "+envName("oidc_issuer")+" beside it")
		return
	}
	f.check(c.Audience != "", "oidc_audience", c.Audience, "the audience of the tokens, since "+envName("oidc_issuer")+" is set: "+
		"without one, tokens that the provider made for any other service would be accepted")
	issuer, err := url.Parse(c.Issuer)
	ok := err == nil && (issuer.Scheme == "https" || issuer.Scheme == "http") && issuer.Host != "" &&
		issuer.User == nil && issuer.RawQuery == "" && issuer.Fragment == ""
	f.check(ok, "oidc_issuer", c.Issuer, "an http or https URL without user, query and fragment")
}

func (c TLSConfig) check(f *faults) {
	f.check((c.CertFile == "") == (c.KeyFile == ""), "tls_key_file", c.KeyFile, "both a certificate and its key, or neither")
	f.check(c.CertFile == "" || c.AutoEmail == "", "tls_auto_email", c.AutoEmail, "nothing, since "+envName("tls_cert_file")+" is set")
	f.check(c.AutoCA == "" || c.AutoEmail != "", "tls_auto_ca", c.AutoCA, "nothing, or "+envName("tls_auto_email")+" beside it")
}

// mostReplicas and mostHeld are beyond what one machine carries.
const (
	mostReplicas = 1000
	mostHeld     = 1_000_000
)

func (c PodsConfig) check(f *faults) {
	f.check(slices.Contains([]string{sandboxAuto, sandboxRequired, sandboxOff}, c.Sandbox), "sandbox", c.Sandbox, "auto, required or off")
	f.check(c.DockerHost == "" || strings.HasPrefix(c.DockerHost, "unix://") || strings.HasPrefix(c.DockerHost, "tcp://"),
		"docker_host", c.DockerHost, "a unix:// or tcp:// address")
	f.check(c.MaxReplicas >= 1 && c.MaxReplicas <= mostReplicas, "max_replicas", c.MaxReplicas, "1 to "+strconv.Itoa(mostReplicas))
	f.checkTime("least_scaledown_secs", c.LeastScaledown, time.Millisecond, 24*time.Hour)
	f.checkTime("idle_teardown", c.IdleTeardown, time.Second, 10*365*24*time.Hour)
	f.checkBytes("warm_pool_bytes", c.WarmPoolBytes, 0, 1<<40)
	f.check(c.MaxHeld >= 1 && c.MaxHeld <= mostHeld, "max_held", c.MaxHeld, "1 to "+strconv.Itoa(mostHeld))
	f.check(c.MaxHeldAll >= 1 && c.MaxHeldAll <= mostHeld, "max_held_all", c.MaxHeldAll, "1 to "+strconv.Itoa(mostHeld))
	f.checkBytes("max_held_bytes", c.MaxHeldBytes, 1<<20, 1<<40)
}

func (c NATSConfig) check(f *faults) {
	const replicasOfJetStream = 5
	for server := range strings.SplitSeq(c.URL, ",") {
		f.check(c.URL == "" || isNATSURL(server), "nats_url", redacted(server), "URLs such as nats://host:4222 or tls://host:4222, separated by commas")
	}
	f.check(c.Replicas >= 1 && c.Replicas <= replicasOfJetStream, "replicas", c.Replicas, "1 to 5")
	f.check(c.Replicas <= 1 || c.URL != "", "replicas", c.Replicas, "1, since the server inside is alone; more need "+envName("nats_url"))
	f.check(c.Sync == syncAlways || c.Sync == syncInterval, "sync", c.Sync, "always or interval")
	const leastStore = 1 << 30
	if c.MaxStoreBytes != 0 {
		f.checkBytes("max_store_bytes", c.MaxStoreBytes, leastStore, 1<<50)
	}
	f.check(c.ListenAddr == "" || isAddress(c.ListenAddr), "nats_listen_addr", c.ListenAddr, "host:port")
}

// leastReap is a while longer than the gateway gives a submission whose caller has left.
const leastReap = time.Minute

// mostPlatformFailures is far beyond any use: work that has killed a thousand workers will kill the next.
const mostPlatformFailures = 1000

func (c EngineConfig) check(f *faults) {
	f.checkTime("cold_start_budget_secs", c.ColdStartBudget, time.Second, 24*time.Hour)
	f.checkTime("listen_limit_secs", c.ListenLimit, time.Second, 24*time.Hour)
	f.checkTime("execution_retention", c.ExecutionRetention, time.Second, 10*365*24*time.Hour)
	f.checkTime("drain_secs", c.DrainTime, 0, time.Hour)
	f.check(c.MaxPlatformFailures >= 1 && c.MaxPlatformFailures <= mostPlatformFailures,
		"max_platform_failures", c.MaxPlatformFailures, "1 to "+strconv.Itoa(mostPlatformFailures))
	f.checkTime("reap_after", c.ReapAfter, time.Second, 24*time.Hour)
}

func (f *faults) checkBytes(name string, given, least, most int64) {
	text := func(n int64) string { return (*bytesValue)(&n).String() }
	f.check(given >= least && given <= most, name, text(given), text(least)+" to "+text(most))
}

func (f *faults) checkTime(name string, given, least, most time.Duration) {
	text := func(d time.Duration) string { return (*durationValue)(&d).String() }
	f.check(given >= least && given <= most, name, text(given), text(least)+" to "+text(most))
}

// isAddress reports whether text can be listened on; an empty host is every interface, port 0 any that is free.
func isAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil && (host == "" || net.ParseIP(host) != nil || domain.MatchString(strings.ToLower(host)))
}

func isNATSURL(text string) bool {
	server, err := url.Parse(strings.TrimSpace(text))
	return err == nil && slices.Contains([]string{"nats", "tls", "ws", "wss"}, server.Scheme) && server.Host != ""
}

// redacted leaves out the user and password of a URL, which may not even parse.
func redacted(text string) string {
	if at := strings.LastIndex(text, "@"); at >= 0 {
		return "…" + text[at:]
	}
	return text
}

// warnings tells what is allowed and most likely not meant. A default that means nothing is no reason for one: the example file
// has them all.
func (c Config) warnings() []string {
	var found []string
	warn := func(suspicious bool, name, why string) {
		if suspicious {
			found = append(found, envName(name)+" (--"+flagName(name)+") "+why)
		}
	}
	external := c.NATS.URL != ""
	onlyInside := "is about the NATS server inside this process and means nothing, since " + envName("nats_url") + " is set"
	warn(external && c.NATS.Sync != syncAlways, "sync", onlyInside)
	warn(external && c.NATS.ListenAddr != "", "nats_listen_addr", onlyInside)
	warn(!external && c.NATS.Creds != "", "nats_creds", "means nothing without "+envName("nats_url"))
	warn(!external && c.NATS.Sync == syncInterval, "sync", "lets a loss of power take back what callers were told is kept")
	warn(c.Engine.ReapAfter < leastReap, "reap_after", "is shorter than a submission may take: one that is still under way could be ended")
	warn(!external && c.NATS.ListenAddr != "" && !isLoopback(c.NATS.ListenAddr), "nats_listen_addr",
		"opens the server inside to other machines, without authentication")
	warn(isPlainRemote(c.OIDC.Issuer), "oidc_issuer", "is not https: whoever is on the way can put his own keys in place")
	return found
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

func isPlainRemote(issuer string) bool {
	provider, err := url.Parse(issuer)
	return err == nil && provider.Scheme == "http" && provider.Hostname() != "localhost" && !net.ParseIP(provider.Hostname()).IsLoopback()
}
