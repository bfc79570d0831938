package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func createdTable(answer *ignitev1.CreateAppResponse) string {
	return fields(
		[2]string{"App", answer.GetAppId()},
		[2]string{"State", shortEnum(answer.GetDeploymentState().String(), "DEPLOYMENT_STATE_")},
		[2]string{"Tier", shortEnum(answer.GetAppliedTier().String(), tierPrefix)},
		[2]string{"Limits", limitsText(answer.GetAppliedLimits())},
		[2]string{"Note", strings.Join(answer.GetNotes(), "\n")},
	)
}

func appsTable(apps []*ignitev1.AppMeta) string {
	rows := make([][]string, len(apps))
	for i, app := range apps {
		rows[i] = []string{
			app.GetId(), stateText(app.GetDeploymentState()), count(app.GetActiveVersion()),
			shortEnum(app.GetResourceTier().String(), tierPrefix), firstOf(app.GetPublicUrls()),
		}
	}
	return grid([]string{"app", "state", "version", "tier", "url"}, rows)
}

func appTable(app *ignitev1.AppMeta) string {
	return fields(
		[2]string{"App", app.GetId()},
		[2]string{"Description", app.GetDescription()},
		[2]string{"State", stateText(app.GetDeploymentState())},
		[2]string{"Active version", count(app.GetActiveVersion())},
		[2]string{"Version", count(app.GetVersion())},
		[2]string{"URL", strings.Join(app.GetPublicUrls(), "\n")},
		[2]string{"Runtime", runtimeText(app.GetRuntime())},
		[2]string{"Mode", shortEnum(app.GetDeploymentMode().String(), "DEPLOYMENT_MODE_")},
		[2]string{"Tier", shortEnum(app.GetResourceTier().String(), tierPrefix)},
		[2]string{"Limits", limitsText(app.GetLimits())},
		[2]string{"Scaling", scalingText(app.GetScaling())},
		[2]string{"Max concurrency", count(app.GetMaxConcurrency())},
		[2]string{"Retries", retryText(app.GetRetry())},
		[2]string{"Storage", shortEnum(app.GetStorageMode().String(), storagePrefix)},
		[2]string{"Health path", app.GetHealthPath()},
		[2]string{"Open to", openText(app)},
		[2]string{"Max async in flight", count(app.GetMaxAsyncInFlight())},
		[2]string{"Environment", envText(app.GetEnv())},
		[2]string{"Created", instant(app.GetCreatedAtMs())},
		[2]string{"Updated", instant(app.GetUpdatedAtMs())},
	)
}

func stateTable(state *ignitev1.GetAppStateResponse) string {
	return fields(
		[2]string{"State", stateText(state.GetDeploymentState())},
		[2]string{"Active version", count(state.GetActiveVersion())},
		[2]string{"Serving versions", numbersText(state.GetServingVersions())},
		[2]string{"Pods wanted", fmt.Sprint(state.GetDesiredReplicas())},
		[2]string{"Pods ready", fmt.Sprint(state.GetReadyReplicas())},
		[2]string{"Pods starting", fmt.Sprint(state.GetStartingReplicas())},
		[2]string{"Pods draining", count(state.GetDrainingReplicas())},
		[2]string{"Pods frozen", frozenText(state)},
		[2]string{"Calls in flight", fmt.Sprint(state.GetInFlight())},
		[2]string{"Calls waiting", count(state.GetWaiting())},
		[2]string{"Queued", count(state.GetQueued())},
		[2]string{"Scaling", scalingText(state.GetEffectiveScaling())},
		[2]string{"Note", strings.Join(state.GetNotes(), "\n")},
		[2]string{"Failed version", count(state.GetFailedVersion())},
		[2]string{"Last error", state.GetLastError()},
	)
}

// openText says who may call the app's host names beside those with a token.
func openText(app *ignitev1.AppMeta) string {
	var parts []string
	if app.GetAllowUnauthenticated() {
		parts = append(parts, "callers without a token")
	}
	if origins := app.GetCorsOrigins(); len(origins) > 0 {
		parts = append(parts, "pages of "+strings.Join(origins, ", "))
	}
	return strings.Join(parts, "; ")
}

// notesText is what a table of an app is followed by.
func notesText(notes []string) string {
	var lines strings.Builder
	for _, note := range notes {
		lines.WriteString("note: " + note + "\n")
	}
	return lines.String()
}

func numbersText(numbers []uint32) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}

func frozenText(state *ignitev1.GetAppStateResponse) string {
	if state.GetFrozenReplicas() == 0 {
		return ""
	}
	return fmt.Sprintf("%d, in %.1f MiB", state.GetFrozenReplicas(), float64(state.GetFrozenBytes())/(1<<20))
}

func stateText(state ignitev1.DeploymentState) string {
	return shortEnum(state.String(), "DEPLOYMENT_STATE_")
}

func runtimeText(runtime *ignitev1.Runtime) string {
	if runtime.GetRuntime() == nil {
		return ""
	}
	chosen := runtime.ProtoReflect()
	return string(chosen.WhichOneof(chosen.Descriptor().Oneofs().ByName("runtime")).Name())
}

func limitsText(limits *ignitev1.ResourceLimits) string {
	var parts []string
	if limits.GetMemoryMb() > 0 {
		parts = append(parts, fmt.Sprintf("%d MB", limits.GetMemoryMb()))
	}
	if limits.GetCpuMillicores() > 0 {
		parts = append(parts, fmt.Sprintf("%d millicores", limits.GetCpuMillicores()))
	}
	if limits.GetTimeoutSecs() > 0 {
		parts = append(parts, fmt.Sprintf("%d s a call", limits.GetTimeoutSecs()))
	}
	return strings.Join(parts, ", ")
}

func scalingText(scaling *ignitev1.ScalingConfig) string {
	var parts []string
	add := func(format string, n uint32) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(format, n))
		}
	}
	add("%d reserved", scaling.GetReservedCapacity())
	add("at most %d pods", scaling.GetMaxReplicas())
	add("%d a pod", scaling.GetScaleThreshold())
	if metric := shortEnum(scaling.GetScaleMetric().String(), metricPrefix); metric != "" {
		parts = append(parts, "by "+metric)
	}
	add("down after %d s", scaling.GetScaledownPeriodSecs())
	return strings.Join(parts, ", ")
}

func envText(env map[string]string) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		lines = append(lines, name+"="+env[name])
	}
	return strings.Join(lines, "\n")
}

func firstOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
