package main

import (
	"fmt"
	"slices"
	"time"
)

func perSecond(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }

func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func quantiles(values []time.Duration) string {
	return fmt.Sprintf("p50 %s, p99 %s", milliseconds(quantile(values, 0.50)), milliseconds(quantile(values, 0.99)))
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// quantile answers the nearest-rank quantile; 0 of no values.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
