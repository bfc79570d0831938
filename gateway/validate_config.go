package gateway

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"dodil.io/ignite/store"
)

// Bounds of what a user sets on an app. Together they keep a stored app under the 1 MiB of a NATS message.
const (
	maxDescription   = 4 << 10
	maxSchema        = 128 << 10
	maxEnvVars       = 256
	maxEnvKey        = 128
	maxEnvValue      = 32 << 10
	maxEnvBytes      = 256 << 10
	maxHealthPath    = 1 << 10
	maxImageRef      = 512
	maxToolchain     = 64
	maxPorts         = 16
	maxConcurrency   = 10_000
	maxReplicas      = 1_000
	maxThreshold     = 1_000_000
	maxScaledownSecs = 7 * 24 * 3600
	minMemoryMB      = 16
	maxMemoryMB      = 256 << 10
	minMillicores    = 10
	maxMillicores    = 128_000
	maxTimeoutSecs   = 24 * 3600
	maxOrigins       = 32
	maxOrigin        = 256
	maxAsyncInFlight = 100_000
)

// config checks everything that a user sets on an app.
func (v *violations) config(c store.Config) {
	v.longest("description", c.Description, maxDescription)
	v.env("env", c.Env)
	v.limits(c.Limits)
	v.scaling(c.Scaling)
	v.schema("input_schema", c.InputSchema)
	v.schema("output_schema", c.OutputSchema)
	v.within("max_concurrency", c.MaxConcurrency, 1, maxConcurrency)
	v.ports(c.Ports)
	v.healthPath(c.HealthPath)
	v.origins(c.CORSOrigins)
	v.within("max_async_in_flight", c.MaxAsyncInFlight, 1, maxAsyncInFlight)
}

func (v *violations) limits(l store.Limits) {
	v.within("limits.memory_mb", l.MemoryMB, minMemoryMB, maxMemoryMB)
	v.within("limits.cpu_millicores", l.CPUMillicores, minMillicores, maxMillicores)
	v.within("limits.timeout_secs", l.TimeoutSecs, 1, maxTimeoutSecs)
}

func (v *violations) scaling(s store.Scaling) {
	v.within("scaling.max_replicas", s.MaxReplicas, 1, maxReplicas)
	v.within("scaling.scale_threshold", s.Threshold, 1, maxThreshold)
	v.within("scaling.scaledown_period_secs", s.ScaledownPeriodSecs, 1, maxScaledownSecs)
	if most := orDefault(s.MaxReplicas, defaultMaxReplicas); s.ReservedCapacity > most {
		v.add("scaling.reserved_capacity", "must be at most max_replicas, which is %d", most)
	}
}

func (v *violations) ports(ports []uint32) {
	if len(ports) > maxPorts {
		v.add("ports", "must be at most %d", maxPorts)
		return
	}
	seen := make(map[uint32]bool, len(ports))
	for i, port := range ports {
		switch {
		case port < 1 || port > 65535:
			v.add(fmt.Sprintf("ports[%d]", i), "must be 1 to 65535")
		case seen[port]:
			v.add(fmt.Sprintf("ports[%d]", i), "repeats %d", port)
		}
		seen[port] = true
	}
}

// pathPattern is a path without query, spaces and control characters.
var pathPattern = regexp.MustCompile(`^/[!-"$->@-~]*$`)

func (v *violations) healthPath(path string) {
	v.longest("health_path", path, maxHealthPath)
	if path != "" && !pathPattern.MatchString(path) {
		v.add("health_path", "must begin with / and hold neither spaces nor ? nor #")
	}
}

// origins are compared with what a browser sends, letter by letter.
func (v *violations) origins(origins []string) {
	if len(origins) > maxOrigins {
		v.add("cors_origins", "must be at most %d", maxOrigins)
		return
	}
	for i, origin := range origins {
		field := fmt.Sprintf("cors_origins[%d]", i)
		v.longest(field, origin, maxOrigin)
		if origin != anyOrigin && !isOrigin(origin) {
			v.add(field, "must be an origin such as https://example.com, in lower case and without a path, or %s for all", anyOrigin)
		}
	}
}

// anyOrigin stands for every origin.
const anyOrigin = "*"

func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && text == strings.ToLower(u.Scheme+"://"+u.Host) && (u.Scheme == "http" || u.Scheme == "https")
}

func (v *violations) schema(field, schema string) {
	v.longest(field, schema, maxSchema)
	if schema != "" && !isSchema(schema) {
		v.add(field, "must be a JSON Schema: a JSON object, true or false")
	}
}

func isSchema(text string) bool {
	var schema any
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		return false
	}
	switch schema.(type) {
	case map[string]any, bool:
		return true
	default:
		return false
	}
}

// envPattern is what a variable may be called so that every shell and language can read it.
var envPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reservedEnv is what a driver sets and an app must be able to rely on.
var reservedEnv = map[string]bool{"PORT": true, "LISTEN_FDS": true, "LISTEN_PID": true, "LISTEN_FDNAMES": true}

func (v *violations) env(field string, env map[string]string) {
	if len(env) > maxEnvVars {
		v.add(field, "must be at most %d variables", maxEnvVars)
		return
	}
	size := 0
	for _, key := range sortedKeys(env) {
		size += len(key) + len(env[key])
		v.envVar(field, key, env[key])
	}
	if size > maxEnvBytes {
		v.add(field, "must be at most %d bytes in all", maxEnvBytes)
	}
}

func (v *violations) envVar(field, key, value string) {
	switch {
	case len(key) > maxEnvKey || !envPattern.MatchString(key):
		v.add(field, "has the name %.140q; a name is 1 to %d letters, digits and _, not beginning with a digit", key, maxEnvKey)
	case reservedEnv[key]:
		v.add(field, "must not set %s, which the platform sets", key)
	case len(value) > maxEnvValue:
		v.add(field, "has more than %d bytes in %s", maxEnvValue, key)
	case strings.ContainsRune(value, 0):
		v.add(field, "has a NUL byte in %s", key)
	}
}
