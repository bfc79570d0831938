package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func executionTable(execution *ignitev1.Execution) string {
	metrics := execution.GetMetrics()
	record := fields(
		[2]string{"Execution", execution.GetId()},
		[2]string{"App", execution.GetAppId()},
		[2]string{"Version", count(execution.GetFunctionVersion())},
		[2]string{"Status", statusText(execution)},
		[2]string{"Error", errorText(execution.GetError())},
		[2]string{"Answer", count(execution.GetResponseStatusCode())},
		[2]string{"Attempt", count(execution.GetAttempt())},
		[2]string{"App failures", failuresText(execution)},
		[2]string{"Platform failures", count(execution.GetPlatformFailures())},
		[2]string{"Postponed", count(execution.GetPostponements())},
		[2]string{"Waits until", instant(execution.GetDueAtMs())},
		[2]string{"Created", instant(execution.GetCreatedAtMs())},
		[2]string{"Started", instant(execution.GetStartedAtMs())},
		[2]string{"Finished", instant(execution.GetFinishedAtMs())},
		[2]string{"Expires", instant(execution.GetExpiresAtMs())},
		[2]string{"Tier", metrics.GetResourceTier()},
		[2]string{"Queued", measured(metrics, metrics.GetQueueMs())},
		[2]string{"Cold start", measured(metrics, metrics.GetColdStartMs())},
		[2]string{"Ran", measured(metrics, metrics.GetExecutionMs())},
		[2]string{"Result size", sizeText(execution)},
		[2]string{"Output chunks", positive(execution.GetOutputChunks())},
		[2]string{"Redriven from", execution.GetRedrivenFrom()},
	)
	if len(execution.GetResult()) == 0 {
		return record
	}
	return record + "\n" + resultText(execution.GetResult())
}

// statusText is how a record stands, as the API writes it but for the prefix.
func statusText(execution *ignitev1.Execution) string {
	return strings.TrimPrefix(execution.GetStatus().String(), statusPrefix)
}

func errorText(failure *ignitev1.ExecutionError) string {
	if failure == nil {
		return ""
	}
	return failure.GetCode() + ": " + failure.GetMessage()
}

// failuresText is how many attempts the app failed of those it may fail; where it may fail only one, the status says it all.
func failuresText(execution *ignitev1.Execution) string {
	if execution.GetMaxAttempts() <= 1 {
		return ""
	}
	return fmt.Sprintf("%d of %d", execution.GetAppFailures(), execution.GetMaxAttempts())
}

func positive(n int64) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func measured(metrics *ignitev1.ExecutionMetrics, milliseconds int64) string {
	if metrics == nil {
		return ""
	}
	return span(milliseconds)
}

func sizeText(execution *ignitev1.Execution) string {
	if execution.GetMetrics() == nil {
		return ""
	}
	return fmt.Sprintf("%d bytes", execution.GetMetrics().GetResultSizeBytes())
}

// resultText is a result for people: JSON indented, other text as it is, and of anything else only that it is there.
func resultText(result []byte) string {
	var indented bytes.Buffer
	switch {
	case json.Indent(&indented, result, "", "  ") == nil:
		return printable(indented.String()) + "\n"
	case !utf8.Valid(result) || bytes.IndexByte(result, 0) >= 0:
		return "The result is binary; --result-only writes it as it is.\n"
	}
	return printable(strings.TrimSuffix(string(result), "\n")) + "\n"
}
