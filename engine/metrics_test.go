package engine

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dodil.io/ignite/store"
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

func TestGaugesTellPodsAndCalls(t *testing.T) {
	inTheCold(t, 1000, func(t *testing.T, b *bench, _ *icy) {
		registry := prometheus.NewRegistry()
		if err := registerGauges(registry, b.dispatcher); err != nil {
			t.Fatal(err)
		}
		b.shelf.publish(onePod(1))
		b.shelf.copyTo(store.AppRef{Org: "acme", Name: "other"})
		b.target(t)
		elapse(301 * time.Second) // frozen
		release := make(chan struct{})
		var ended []<-chan error
		for range 3 {
			end := make(chan error, 1)
			ended = append(ended, end)
			go func() {
				end <- b.carry(t.Context(), store.AppRef{Org: "acme", Name: "other"}, errand{held: 7}, func(grant) error {
					<-release
					return nil
				})
			}()
		}
		synctest.Wait()
		want := map[string]float64{
			"ignite_pods ready": 1, "ignite_pods starting": 0, "ignite_pods draining": 0, "ignite_pods frozen": 1,
			"ignite_calls_in_flight": 1, "ignite_calls_waiting": 2, "ignite_calls_waiting_bytes": 14, "ignite_pods_frozen_bytes": 100,
		}
		if got := gathered(t, registry); !maps.Equal(got, want) {
			t.Errorf("metrics %v, want %v", got, want)
		}
		close(release)
		for _, end := range ended {
			if err := <-end; err != nil {
				t.Errorf("call: %v", err)
			}
		}
	})
}

// gathered reads all gauges by name and label.
func gathered(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatalf("gather metrics: %v", err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = metric.GetGauge().GetValue()
		}
	}
	return values
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
