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
		[2]string{"Environment", envText(app.GetEnv())},
		[2]string{"Created", instant(app.GetCreatedAtMs())},
		[2]string{"Updated", instant(app.GetUpdatedAtMs())},
	)
}

func stateTable(state *ignitev1.GetAppStateResponse) string {
	return fields(
		[2]string{"State", stateText(state.GetDeploymentState())},
		[2]string{"Active version", count(state.GetActiveVersion())},
		[2]string{"Pods ready", fmt.Sprint(state.GetReadyReplicas())},
		[2]string{"Pods starting", fmt.Sprint(state.GetStartingReplicas())},
		[2]string{"Calls in flight", fmt.Sprint(state.GetInFlight())},
		[2]string{"Last error", state.GetLastError()},
	)
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
