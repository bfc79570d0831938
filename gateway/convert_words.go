package gateway

import (
	"net/http"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// pair is two words for one thing: the contract's and the store's.
type pair[P, S comparable] struct {
	public P
	stored S
}

var tiers = []pair[ignitev1.ResourceTier, store.Tier]{
	{ignitev1.ResourceTier_RESOURCE_TIER_SMALL, store.TierSmall},
	{ignitev1.ResourceTier_RESOURCE_TIER_MEDIUM, store.TierMedium},
	{ignitev1.ResourceTier_RESOURCE_TIER_LARGE, store.TierLarge},
	{ignitev1.ResourceTier_RESOURCE_TIER_XLARGE, store.TierXLarge},
	{ignitev1.ResourceTier_RESOURCE_TIER_UNSPECIFIED, store.TierMedium},
	{ignitev1.ResourceTier_RESOURCE_TIER_MEDIUM, ""},
}

var storageModes = []pair[ignitev1.StorageMode, store.StorageMode]{
	{ignitev1.StorageMode_STORAGE_MODE_PERSISTENT, "persistent"},
	{ignitev1.StorageMode_STORAGE_MODE_EPHEMERAL, "ephemeral"},
	{ignitev1.StorageMode_STORAGE_MODE_TTL, "ttl"},
	{ignitev1.StorageMode_STORAGE_MODE_UNSPECIFIED, "persistent"},
	{ignitev1.StorageMode_STORAGE_MODE_PERSISTENT, ""},
}

var scaleMetrics = []pair[ignitev1.ScaleMetric, store.ScaleMetric]{
	{ignitev1.ScaleMetric_SCALE_METRIC_REQUEST_RATE, "request_rate"},
	{ignitev1.ScaleMetric_SCALE_METRIC_CONCURRENCY, "concurrency"},
	{ignitev1.ScaleMetric_SCALE_METRIC_UNSPECIFIED, "request_rate"},
	{ignitev1.ScaleMetric_SCALE_METRIC_REQUEST_RATE, ""},
}

var codeKinds = []pair[ignitev1.CodeKind, store.CodeKind]{
	{ignitev1.CodeKind_CODE_KIND_SDK, store.CodeSDK},
	{ignitev1.CodeKind_CODE_KIND_UPLOAD_IMAGE, store.CodeUploadImage},
	{ignitev1.CodeKind_CODE_KIND_GIT_IMAGE, store.CodeGitImage},
	{ignitev1.CodeKind_CODE_KIND_PREBUILT, store.CodePrebuilt},
}

var draftStatuses = []pair[ignitev1.VersionStatus, store.DraftStatus]{
	{ignitev1.VersionStatus_VERSION_STATUS_DRAFT, store.DraftSaved},
	{ignitev1.VersionStatus_VERSION_STATUS_COMPILING, store.DraftCompiling},
	{ignitev1.VersionStatus_VERSION_STATUS_COMPILED, store.DraftCompiled},
	{ignitev1.VersionStatus_VERSION_STATUS_FAILED, store.DraftFailed},
}

var executionStatuses = []pair[ignitev1.ExecutionStatus, store.Status]{
	{ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING, store.Pending},
	{ignitev1.ExecutionStatus_EXECUTION_STATUS_RUNNING, store.Running},
	{ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED, store.Completed},
	{ignitev1.ExecutionStatus_EXECUTION_STATUS_FAILED, store.Failed},
	{ignitev1.ExecutionStatus_EXECUTION_STATUS_TIMEOUT, store.Timeout},
	{ignitev1.ExecutionStatus_EXECUTION_STATUS_CANCELLED, store.Cancelled},
}

// methods are the verbs of an envelope.
var methods = []pair[ignitev1.HttpMethod, string]{
	{ignitev1.HttpMethod_HTTP_METHOD_GET, http.MethodGet},
	{ignitev1.HttpMethod_HTTP_METHOD_POST, http.MethodPost},
	{ignitev1.HttpMethod_HTTP_METHOD_PUT, http.MethodPut},
	{ignitev1.HttpMethod_HTTP_METHOD_PATCH, http.MethodPatch},
	{ignitev1.HttpMethod_HTTP_METHOD_DELETE, http.MethodDelete},
	{ignitev1.HttpMethod_HTTP_METHOD_HEAD, http.MethodHead},
	{ignitev1.HttpMethod_HTTP_METHOD_OPTIONS, http.MethodOptions},
	{ignitev1.HttpMethod_HTTP_METHOD_UNSPECIFIED, http.MethodPost},
}

// toStored answers the store's word; validation has refused what has none.
func toStored[P, S comparable](pairs []pair[P, S], public P) S {
	for _, p := range pairs {
		if p.public == public {
			return p.stored
		}
	}
	var none S
	return none
}

// toPublic answers the contract's word, or its zero.
func toPublic[P, S comparable](pairs []pair[P, S], stored S) P {
	for _, p := range pairs {
		if p.stored == stored {
			return p.public
		}
	}
	var none P
	return none
}
