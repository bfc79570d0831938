package store

import (
	"maps"
	"slices"
	"time"
)

// AppRef names an app. Its String is the public id, "organization/name".
type AppRef struct {
	Org  string `json:"org"`
	Name string `json:"name"`
}

func (r AppRef) String() string { return r.Org + "/" + r.Name }

// App is an app's metadata, its one draft and the number of the version that serves.
type App struct {
	AppRef
	// Incarnation tells an app from an earlier one of the same name that was deleted.
	Incarnation string `json:"incarnation"`
	Config

	Draft *Draft `json:"draft,omitempty"`
	// ActiveVersion serves now; 0 is none yet.
	ActiveVersion uint32 `json:"active_version"`
	// LatestVersion is the highest number given out; versions are never renumbered.
	LatestVersion uint32    `json:"latest_version"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`

	// Revision is the one this App was read at; UpdateApp compares and sets by it.
	Revision uint64 `json:"-"`
}

// Config is what a user sets on an app; a Version keeps a copy of it.
type Config struct {
	Description    string            `json:"description,omitempty"`
	Env            map[string]string `json:"env,omitempty"`
	Tier           Tier              `json:"tier"`
	Limits         Limits            `json:"limits"`
	Scaling        Scaling           `json:"scaling"`
	Storage        StorageMode       `json:"storage"`
	InputSchema    string            `json:"input_schema,omitempty"`
	OutputSchema   string            `json:"output_schema,omitempty"`
	MCPEnabled     bool              `json:"mcp_enabled,omitempty"`
	MaxConcurrency uint32            `json:"max_concurrency,omitempty"`
	Ports          []uint32          `json:"ports,omitempty"`
	HealthPath     string            `json:"health_path,omitempty"`
	Retry          RetryPolicy       `json:"retry,omitzero"`
	// AllowUnauthenticated opens the app's own host names to callers without a token.
	AllowUnauthenticated bool `json:"allow_unauthenticated,omitempty"`
	// CORSOrigins are the origins whose pages may read answers of the app's host names; empty is every origin if AllowUnauthenticated
	// is set, and none otherwise.
	CORSOrigins []string `json:"cors_origins,omitempty"`
	// MaxAsyncInFlight bounds the asynchronous calls of the app that run at a time, over all workers; 0 is no bound but the pods'.
	MaxAsyncInFlight uint32 `json:"max_async_in_flight,omitempty"`
}

// Tier is a named pod size: "small", "medium", "large" or "xlarge"; empty is medium.
type Tier string

// The pod sizes.
const (
	TierSmall  Tier = "small"
	TierMedium Tier = "medium"
	TierLarge  Tier = "large"
	TierXLarge Tier = "xlarge"
)

// StorageMode is "persistent" (also empty), "ephemeral" or "ttl".
type StorageMode string

// Limits are explicit limits of one pod; 0 leaves a field to the tier or the default.
type Limits struct {
	MemoryMB      uint32 `json:"memory_mb,omitempty"`
	CPUMillicores uint32 `json:"cpu_millicores,omitempty"`
	TimeoutSecs   uint32 `json:"timeout_secs,omitempty"`
}

// ScaleMetric is "request_rate" (also empty) or "concurrency".
type ScaleMetric string

// Scaling is as the user set it; 0 means the default of the specification.
type Scaling struct {
	ReservedCapacity    uint32      `json:"reserved_capacity,omitempty"`
	MaxReplicas         uint32      `json:"max_replicas,omitempty"`
	Metric              ScaleMetric `json:"metric,omitempty"`
	Threshold           uint32      `json:"threshold,omitempty"`
	ScaledownPeriodSecs uint32      `json:"scaledown_period_secs,omitempty"`
}

// CodeKind is the way a code source takes to become a pod.
type CodeKind string

// The code kinds.
const (
	CodeSDK         CodeKind = "sdk"
	CodeUploadImage CodeKind = "upload_image"
	CodeGitImage    CodeKind = "git_image"
	CodePrebuilt    CodeKind = "prebuilt"
)

// Runtime names a managed runtime: "python", "rust", "go" or "deno"; empty for image apps.
type Runtime string

// Code is where a draft's or a version's code comes from.
type Code struct {
	Kind    CodeKind `json:"kind"`
	Runtime Runtime  `json:"runtime,omitempty"`
	// RustTarget and Toolchain come back as they were given.
	RustTarget string `json:"rust_target,omitempty"`
	Toolchain  string `json:"toolchain,omitempty"`
	// Hash is the SHA-256 of the uploaded archive, in hex: its name for PutCode and Code.
	Hash     string `json:"hash,omitempty"`
	ImageRef string `json:"image_ref,omitempty"`
	// Dockerfile is where it is in the archive of CodeUploadImage; empty is Dockerfile at the root.
	Dockerfile string `json:"dockerfile,omitempty"`
}

// DraftStatus is "draft", "compiling", "compiled" or "failed".
type DraftStatus string

// The states of a draft.
const (
	DraftSaved     DraftStatus = "draft"
	DraftCompiling DraftStatus = "compiling"
	DraftCompiled  DraftStatus = "compiled"
	DraftFailed    DraftStatus = "failed"
)

// Draft is an app's unpublished code.
type Draft struct {
	Code         Code        `json:"code"`
	Status       DraftStatus `json:"status"`
	DeployID     string      `json:"deploy_id,omitempty"`
	Error        string      `json:"error,omitempty"`
	ArtifactHash string      `json:"artifact_hash,omitempty"`
	CreatedAt    time.Time   `json:"created_at"`
	CompiledAt   time.Time   `json:"compiled_at,omitzero"`
}

// clone answers an App that shares no map, slice or pointer with a.
func (a App) clone() App {
	a.Config = a.Config.clone()
	if a.Draft != nil {
		a.Draft = new(*a.Draft)
	}
	return a
}

func (c Config) clone() Config {
	c.Env = maps.Clone(c.Env)
	c.Ports = slices.Clone(c.Ports)
	c.CORSOrigins = slices.Clone(c.CORSOrigins)
	c.Retry = c.Retry.clone()
	return c
}
