package gateway

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// What the specification says where a user said nothing.
const (
	defaultTimeout = 120 * time.Second
	defaultPort    = 80
)

// orDefault is value unless it is 0.
func orDefault(value, byDefault uint32) uint32 {
	if value == 0 {
		return byDefault
	}
	return value
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// millis is a time as the contract has it; 0 for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// tierLimits are what a tier means where a user set no explicit limits.
func tierLimits(t store.Tier) store.Limits {
	switch t {
	case store.TierSmall:
		return store.Limits{MemoryMB: 256, CPUMillicores: 250}
	case store.TierLarge:
		return store.Limits{MemoryMB: 1024, CPUMillicores: 1000}
	case store.TierXLarge:
		return store.Limits{MemoryMB: 2048, CPUMillicores: 2000}
	default:
		return store.Limits{MemoryMB: 512, CPUMillicores: 500}
	}
}

// appliedLimits are the limits that hold: explicit ones over the tier's and the default.
func appliedLimits(c store.Config) *ignitev1.ResourceLimits {
	tier := tierLimits(c.Tier)
	return &ignitev1.ResourceLimits{
		MemoryMb:      orDefault(c.Limits.MemoryMB, tier.MemoryMB),
		CpuMillicores: orDefault(c.Limits.CPUMillicores, tier.CPUMillicores),
		TimeoutSecs:   orDefault(c.Limits.TimeoutSecs, uint32(defaultTimeout/time.Second)),
	}
}

// timeoutOf is how long one call of the app may take once a pod has it.
func timeoutOf(c store.Config) time.Duration {
	if c.Limits.TimeoutSecs == 0 {
		return defaultTimeout
	}
	return time.Duration(c.Limits.TimeoutSecs) * time.Second
}

// tierWord is a tier as execution metrics spell it.
func tierWord(t store.Tier) string {
	switch t {
	case store.TierSmall:
		return "Small"
	case store.TierLarge:
		return "Large"
	case store.TierXLarge:
		return "XLarge"
	default:
		return "Medium"
	}
}

func storedLimits(l *ignitev1.ResourceLimits) store.Limits {
	return store.Limits{MemoryMB: l.GetMemoryMb(), CPUMillicores: l.GetCpuMillicores(), TimeoutSecs: l.GetTimeoutSecs()}
}

func storedScaling(s *ignitev1.ScalingConfig) store.Scaling {
	return store.Scaling{
		ReservedCapacity:    s.GetReservedCapacity(),
		MaxReplicas:         s.GetMaxReplicas(),
		Metric:              toStored(scaleMetrics, s.GetScaleMetric()),
		Threshold:           s.GetScaleThreshold(),
		ScaledownPeriodSecs: s.GetScaledownPeriodSecs(),
	}
}

func publicScaling(s store.Scaling) *ignitev1.ScalingConfig {
	return &ignitev1.ScalingConfig{
		ReservedCapacity:    s.ReservedCapacity,
		MaxReplicas:         s.MaxReplicas,
		ScaleMetric:         toPublic(scaleMetrics, s.Metric),
		ScaleThreshold:      s.Threshold,
		ScaledownPeriodSecs: s.ScaledownPeriodSecs,
	}
}

// meta is what an app and a version of it have in common.
func meta(ref store.AppRef, c store.Config, code *store.Code) *ignitev1.AppMeta {
	m := &ignitev1.AppMeta{
		Id:               ref.String(),
		Name:             ref.Name,
		OrganizationName: ref.Org,
		Limits:           appliedLimits(c),
		Env:              c.Env,
		ResourceTier:     toPublic(tiers, c.Tier),
		Scaling:          publicScaling(c.Scaling),
		StorageMode:      toPublic(storageModes, c.Storage),
		Description:      c.Description,
		InputSchema:      c.InputSchema,
		OutputSchema:     c.OutputSchema,
		McpEnabled:       c.MCPEnabled,
		MaxConcurrency:   c.MaxConcurrency,
		Ports:            c.Ports,
		HealthPath:       c.HealthPath,
		Retry:            publicRetry(c.Retry),

		AllowUnauthenticated: c.AllowUnauthenticated,
		CorsOrigins:          c.CORSOrigins,
		MaxAsyncInFlight:     c.MaxAsyncInFlight,
	}
	if code != nil {
		m.Runtime, m.DeploymentMode = publicRuntime(*code), deploymentMode(*code)
	}
	return m
}

// publicMeta is an app as it is now, but for what runs of it. active is the version that serves, nil before the first publish.
func (s *service) publicMeta(app store.App, active *store.Version) *ignitev1.AppMeta {
	var code *store.Code
	switch {
	case active != nil:
		code = &active.Code
	case app.Draft != nil:
		code = &app.Draft.Code
	}
	m := meta(app.AppRef, app.Config, code)
	m.ActiveVersion = app.ActiveVersion
	m.CreatedAtMs, m.UpdatedAtMs = millis(app.CreatedAt), millis(app.UpdatedAt)
	if active == nil {
		m.DeploymentState = ignitev1.DeploymentState_DEPLOYMENT_STATE_CREATED
		return m
	}
	m.PublicUrls = s.publicURLs(app.AppRef, active.Ports)
	return m
}

// publicVersion is an app as it was when v was published.
func (s *service) publicVersion(app store.App, v store.Version) *ignitev1.AppMeta {
	m := meta(app.AppRef, v.Config, &v.Code)
	m.Version, m.ActiveVersion = v.Number, app.ActiveVersion
	m.CreatedAtMs, m.UpdatedAtMs = millis(v.CreatedAt), millis(v.CreatedAt)
	m.PublicUrls = s.publicURLs(app.AppRef, v.Ports)
	return m
}

func versionInfo(app store.App, v store.Version) *ignitev1.AppVersionInfo {
	info := &ignitev1.AppVersionInfo{
		Version:      v.Number,
		CodeHash:     v.Code.Hash,
		CreatedAtMs:  millis(v.CreatedAt),
		Status:       ignitev1.VersionStatus_VERSION_STATUS_SUPERSEDED,
		ResourceTier: toPublic(tiers, v.Tier),
		Runtime:      publicRuntime(v.Code),
		CodeKind:     toPublic(codeKinds, v.Code.Kind),
	}
	if v.Number == app.ActiveVersion {
		info.Status = ignitev1.VersionStatus_VERSION_STATUS_ACTIVE
	}
	return info
}

func publicDraft(d store.Draft) *ignitev1.DraftInfo {
	return &ignitev1.DraftInfo{
		Status:       toPublic(draftStatuses, d.Status),
		CodeHash:     d.Code.Hash,
		CreatedAtMs:  millis(d.CreatedAt),
		CodeKind:     toPublic(codeKinds, d.Code.Kind),
		DeployId:     d.DeployID,
		Error:        d.Error,
		ImageRef:     d.Code.ImageRef,
		CompiledAtMs: millis(d.CompiledAt),
		Runtime:      publicRuntime(d.Code),
	}
}

// publicExecution is a record without its result, which goes only where the record is asked for or ends.
func publicExecution(e store.Execution) *ignitev1.Execution {
	return &ignitev1.Execution{
		Id:                 e.ID,
		AppId:              e.App.String(),
		AppName:            e.App.Name,
		Status:             toPublic(executionStatuses, e.Status),
		FunctionVersion:    e.Version,
		Error:              publicError(e),
		CreatedAtMs:        millis(e.CreatedAt),
		StartedAtMs:        millis(e.StartedAt),
		FinishedAtMs:       millis(e.FinishedAt),
		ExpiresAtMs:        millis(e.ExpiresAt),
		DueAtMs:            millis(dueAt(e)),
		Attempt:            e.Attempt,
		MaxAttempts:        e.Retry.Over(store.DefaultRetry()).MaxAttempts,
		AppFailures:        e.AppFailures,
		PlatformFailures:   e.PlatformFailures,
		Postponements:      e.Postponements,
		RedrivenFrom:       e.RedrivenFrom,
		ResponseStatusCode: uint32(e.ResponseStatus),
		ResponseHeaders:    joined(e.ResponseHeader),
		OutputChunks:       e.Chunks,
		Metrics: &ignitev1.ExecutionMetrics{
			ExecutionMs:     e.Ran.Milliseconds(),
			ResultSizeBytes: e.ResultSize,
			ResourceTier:    tierWord(e.Tier),
			QueueMs:         e.Queued.Milliseconds(),
			ColdStartMs:     e.ColdStart.Milliseconds(),
		},
	}
}

// publicError is why an execution ended badly, or what its last attempt failed with while it waits for the next. A running one may
// still remember what came before; that is no error of its own.
func publicError(e store.Execution) *ignitev1.ExecutionError {
	if e.Error == nil || e.Status == store.Running || e.Status == store.Completed {
		return nil
	}
	return &ignitev1.ExecutionError{Code: e.Error.Code, Message: e.Error.Message}
}

// dueAt is until when an execution waits, for its beginning or for its next attempt; zero if it does not.
func dueAt(e store.Execution) time.Time {
	switch {
	case e.Status != store.Pending:
		return time.Time{}
	case e.DueAt.IsZero() && e.Attempt == 0:
		return e.NotBefore
	default:
		return e.DueAt
	}
}

// joined is a header with one line a name. Names are in lower case, as HTTP/2 and the contract's examples have them.
func joined(h http.Header) map[string]string {
	if len(h) == 0 {
		return nil
	}
	lines := make(map[string]string, len(h))
	for name, values := range h {
		lines[strings.ToLower(name)] = validUTF8(strings.Join(values, ", "))
	}
	return lines
}

// headerFields is a header line by line, ordered by name.
func headerFields(h http.Header) []*ignitev1.HeaderField {
	fields := make([]*ignitev1.HeaderField, 0, len(h))
	for _, name := range sortedKeys(h) {
		for _, value := range h[name] {
			fields = append(fields, &ignitev1.HeaderField{Name: strings.ToLower(name), Value: validUTF8(value)})
		}
	}
	return fields
}

// validUTF8 is what a proto string may hold; HTTP lets a header hold any byte.
func validUTF8(s string) string { return strings.ToValidUTF8(s, "�") }
