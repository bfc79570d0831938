package engine

import (
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetricsTellEveryKindFromTheBeginning(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	m.countReaped(workWithoutRecord)
	expectReaped(t, registry, map[orphan]float64{workWithoutRecord: 1})
	if _, err := newMetrics(registry); err == nil {
		t.Error("a second engine may register the same metrics")
	}
}

// expectReaped checks what was counted; a kind that is not in want must be told as 0.
func expectReaped(t *testing.T, registry prometheus.Gatherer, want map[orphan]float64) {
	t.Helper()
	all := map[orphan]float64{recordWithoutWork: 0, workWithoutRecord: 0, payloadWithoutRecord: 0}
	maps.Copy(all, want)
	if got := reaped(t, registry); !maps.Equal(got, all) {
		t.Errorf("counted %v, want %v", got, all)
	}
}

// reaped reads ignite_reaped_total by kind.
func reaped(t *testing.T, registry prometheus.Gatherer) map[orphan]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatalf("gather metrics: %v", err)
	}
	counts := make(map[orphan]float64)
	for _, family := range families {
		if family.GetName() != "ignite_reaped_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			counts[orphan(metric.GetLabel()[0].GetValue())] = metric.GetCounter().GetValue()
		}
	}
	return counts
}
