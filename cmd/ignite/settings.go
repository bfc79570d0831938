package main

import (
	"maps"
	"os"
	"strings"

	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const (
	tierPrefix    = "RESOURCE_TIER_"
	metricPrefix  = "SCALE_METRIC_"
	storagePrefix = "STORAGE_MODE_"
)

// settingFlags are the flags that configure an app; create, update and deploy share them.
type settingFlags struct {
	tier, description, healthPath string
	storageMode, scaleMetric      string
	inputSchema, outputSchema     string
	env                           []string
	limits                        ignitev1.ResourceLimits
	scaling                       ignitev1.ScalingConfig
	maxConcurrency                uint32
	ports                         []uint
	mcp                           bool
	anonymous                     bool
	origins                       []string
	maxAsync                      uint32
	retry                         retryFlags
}

func (s *settingFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVarP(&s.tier, "tier", "t", "", "`TIER` of a pod: small, medium, large or xlarge")
	flags.StringVar(&s.description, "description", "", "what the app is for")
	flags.StringArrayVar(&s.env, "env", nil, "environment variable `NAME=VALUE`; may be given again")
	flags.Uint32Var(&s.limits.MemoryMb, "memory", 0, "memory of a pod in MB, in place of the tier's")
	flags.Uint32Var(&s.limits.CpuMillicores, "cpu", 0, "CPU of a pod in millicores, in place of the tier's")
	flags.Uint32Var(&s.limits.TimeoutSecs, "timeout-secs", 0, "seconds one call may take once a pod has it (0 = 120)")
	flags.Uint32Var(&s.scaling.ReservedCapacity, "reserved", 0, "pods that always run; 0 lets the app scale to zero")
	flags.Uint32Var(&s.scaling.MaxReplicas, "max-replicas", 0, "the most pods (0 = 10); the server's cap holds below it")
	flags.Uint32Var(&s.scaling.ScaledownPeriodSecs, "scaledown", 0,
		"seconds pods stay up after traffic drops (0 = 300, least 30)")
	flags.StringVar(&s.scaleMetric, "scale-metric", "",
		"`METRIC` that --scale-threshold counts: request_rate or concurrency")
	flags.Uint32Var(&s.scaling.ScaleThreshold, "scale-threshold", 0,
		"what one pod can carry, in units of --scale-metric (0 = 10)")
	flags.Uint32Var(&s.maxConcurrency, "max-concurrency", 0, "calls in one pod at a time (0 = 80)")
	flags.StringVar(&s.healthPath, "health-path", "",
		"`PATH` where an HTTP server answers 2xx once it is ready (default /healthz)")
	flags.UintSliceVar(&s.ports, "port", nil, "`PORT` with a public URL; may be given again (default 80)")
	flags.Lookup("port").DefValue = "" // pflag would show an empty list
	flags.StringVar(&s.storageMode, "storage-mode", "",
		"`MODE` in which a pod's disk is kept: persistent, ephemeral or ttl")
	flags.StringVar(&s.inputSchema, "input-schema", "", "JSON `SCHEMA` of the payload, or @FILE")
	flags.StringVar(&s.outputSchema, "output-schema", "", "JSON `SCHEMA` of the result, or @FILE")
	flags.BoolVar(&s.mcp, "mcp-enabled", false, "offer the app as an MCP tool")
	flags.BoolVar(&s.anonymous, "allow-unauthenticated", false, "answer callers without a token on the app's own host names")
	flags.StringArrayVar(&s.origins, "cors-origin", nil,
		"`ORIGIN` whose pages may read answers of the app's host names; may be given again, and an empty one takes all away")
	flags.Uint32Var(&s.maxAsync, "max-async-in-flight", 0,
		"asynchronous calls that run at a time, over all workers (0 = as many as the pods take)")
	s.retry.register(command)
	completeFrom(command, "tier", enumChoices(tierPrefix, ignitev1.ResourceTier_value))
	completeFrom(command, "scale-metric", enumChoices(metricPrefix, ignitev1.ScaleMetric_value))
	completeFrom(command, "storage-mode", enumChoices(storagePrefix, ignitev1.StorageMode_value))
}

// parsedSettings are the flags that need more than cobra to read.
type parsedSettings struct {
	env                       map[string]string
	tier                      ignitev1.ResourceTier
	storage                   ignitev1.StorageMode
	inputSchema, outputSchema string
	ports                     []uint32
}

func (s *settingFlags) parse() (parsedSettings, error) {
	var parsed parsedSettings
	var err error
	if parsed.env, err = parsePairs("env", s.env); err != nil {
		return parsed, err
	}
	if parsed.tier, err = optionalEnum[ignitev1.ResourceTier](
		"tier", s.tier, tierPrefix, ignitev1.ResourceTier_value); err != nil {
		return parsed, err
	}
	if parsed.storage, err = optionalEnum[ignitev1.StorageMode](
		"storage-mode", s.storageMode, storagePrefix, ignitev1.StorageMode_value); err != nil {
		return parsed, err
	}
	if s.scaling.ScaleMetric, err = optionalEnum[ignitev1.ScaleMetric](
		"scale-metric", s.scaleMetric, metricPrefix, ignitev1.ScaleMetric_value); err != nil {
		return parsed, err
	}
	if parsed.inputSchema, err = textOrFile(s.inputSchema); err != nil {
		return parsed, err
	}
	if parsed.outputSchema, err = textOrFile(s.outputSchema); err != nil {
		return parsed, err
	}
	for _, port := range s.ports {
		if port < 1 || port > 65535 {
			return parsed, usagef("--port %d is no port", port)
		}
		parsed.ports = append(parsed.ports, uint32(port))
	}
	return parsed, nil
}

func optionalEnum[Enum ~int32](flag, text, prefix string, values map[string]int32) (Enum, error) {
	if text == "" {
		return 0, nil
	}
	value, err := parseEnum(flag, text, prefix, values)
	return Enum(value), err
}

func textOrFile(argument string) (string, error) {
	name, isFile := strings.CutPrefix(argument, "@")
	if !isFile {
		return argument, nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return "", usagef("read the schema: %w", err)
	}
	return string(content), nil
}

// create is the request for a new app.
func (s *settingFlags) create(app appRef, command *cobra.Command) (*ignitev1.CreateAppRequest, error) {
	parsed, err := s.parse()
	if err != nil {
		return nil, err
	}
	request := &ignitev1.CreateAppRequest{
		OrganizationName: app.org,
		Name:             app.name,
		ResourceTier:     parsed.tier,
		Description:      s.description,
		Env:              parsed.env,
		StorageMode:      parsed.storage,
		InputSchema:      parsed.inputSchema,
		OutputSchema:     parsed.outputSchema,
		McpEnabled:       s.mcp,
		MaxConcurrency:   s.maxConcurrency,
		Ports:            parsed.ports,
		HealthPath:       s.healthPath,

		AllowUnauthenticated: s.anonymous,
		CorsOrigins:          s.origins,
		MaxAsyncInFlight:     s.maxAsync,
	}
	if anyGiven(command, limitFlags) {
		request.Limits = &s.limits
	}
	if anyGiven(command, scalingFlags) {
		request.Scaling = &s.scaling
	}
	if request.Retry, err = s.retry.policy(command); err != nil {
		return nil, err
	}
	return request, nil
}

// update is the request that changes what was given. The API replaces scaling and the retry policy as a whole, so what
// was not given is kept from current. The limits are replaced as a whole too, and there what was not given is the tier's again: AppMeta shows
// the limits in force, and sending those back would turn the tier's into explicit ones.
func (s *settingFlags) update(
	app appRef, command *cobra.Command, current *ignitev1.AppMeta,
) (*ignitev1.UpdateAppConfigRequest, error) {
	parsed, err := s.parse()
	if err != nil {
		return nil, err
	}
	given := command.Flags().Changed
	request := &ignitev1.UpdateAppConfigRequest{
		OrganizationName: app.org,
		AppName:          app.name,
		ResourceTier:     ifGiven(given("tier"), parsed.tier),
		Description:      ifGiven(given("description"), s.description),
		Env:              parsed.env,
		StorageMode:      ifGiven(given("storage-mode"), parsed.storage),
		InputSchema:      ifGiven(given("input-schema"), parsed.inputSchema),
		OutputSchema:     ifGiven(given("output-schema"), parsed.outputSchema),
		McpEnabled:       ifGiven(given("mcp-enabled"), s.mcp),
		MaxConcurrency:   ifGiven(given("max-concurrency"), s.maxConcurrency),
		Ports:            parsed.ports,
		HealthPath:       ifGiven(given("health-path"), s.healthPath),

		AllowUnauthenticated: ifGiven(given("allow-unauthenticated"), s.anonymous),
		CorsOrigins:          s.origins,
		MaxAsyncInFlight:     ifGiven(given("max-async-in-flight"), s.maxAsync),
	}
	if anyGiven(command, limitFlags) {
		request.Limits = &s.limits
	}
	if anyGiven(command, scalingFlags) {
		request.Scaling = s.scalingOver(given, current.GetScaling())
	}
	policy, err := s.retry.policy(command)
	if err != nil {
		return nil, err
	}
	if policy != nil {
		request.Retry = retryOver(given, policy, current.GetRetry())
	}
	return request, nil
}

func (s *settingFlags) scalingOver(given func(string) bool, current *ignitev1.ScalingConfig) *ignitev1.ScalingConfig {
	choose := func(flag string, wanted, kept uint32) uint32 { return chosen(given(flag), wanted, kept) }
	scaling := &ignitev1.ScalingConfig{
		ReservedCapacity:    choose("reserved", s.scaling.ReservedCapacity, current.GetReservedCapacity()),
		MaxReplicas:         choose("max-replicas", s.scaling.MaxReplicas, current.GetMaxReplicas()),
		ScaleMetric:         current.GetScaleMetric(),
		ScaleThreshold:      choose("scale-threshold", s.scaling.ScaleThreshold, current.GetScaleThreshold()),
		ScaledownPeriodSecs: choose("scaledown", s.scaling.ScaledownPeriodSecs, current.GetScaledownPeriodSecs()),
	}
	if given("scale-metric") {
		scaling.ScaleMetric = s.scaling.ScaleMetric
	}
	return scaling
}

// replaceEnv makes the environment of a request the whole one, as every deploy does.
func replaceEnv(request *ignitev1.UpdateAppConfigRequest) {
	request.ReplaceEnv = &ignitev1.EnvVars{Values: maps.Clone(request.Env)}
	request.Env = nil
}

var (
	limitFlags   = []string{"memory", "cpu", "timeout-secs"}
	scalingFlags = []string{"reserved", "max-replicas", "scale-metric", "scale-threshold", "scaledown"}
)

func anyGiven(command *cobra.Command, flags []string) bool {
	for _, flag := range flags {
		if command.Flags().Changed(flag) {
			return true
		}
	}
	return false
}

func ifGiven[T any](given bool, value T) *T {
	if !given {
		return nil
	}
	return &value
}
