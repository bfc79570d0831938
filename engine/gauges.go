package engine

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"dodil.io/ignite/engine/pod"
)

var (
	podsGauge     = prometheus.NewDesc("ignite_pods", "Pods by state, over all apps.", []string{"state"}, nil)
	inFlightGauge = prometheus.NewDesc("ignite_calls_in_flight", "Calls that are in pods.", nil, nil)
	waitingGauge  = prometheus.NewDesc("ignite_calls_waiting", "Calls that wait for a pod.", nil, nil)
	heldGauge     = prometheus.NewDesc("ignite_calls_waiting_bytes", "What calls that wait for a pod have in memory.", nil, nil)
	frozenGauge   = prometheus.NewDesc("ignite_pods_frozen_bytes", "What frozen pods hold in memory.", nil, nil)
)

// gauges tells the pods and calls of a dispatcher when it is asked, so that nothing is counted while nobody is interested.
type gauges struct{ d *dispatcher }

// registerGauges does nothing with a nil registerer.
func registerGauges(registerer prometheus.Registerer, d *dispatcher) error {
	if registerer == nil {
		return nil
	}
	if err := registerer.Register(gauges{d}); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// Describe fulfils prometheus.Collector.
func (g gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{podsGauge, inFlightGauge, waitingGauge, heldGauge, frozenGauge} {
		to <- d
	}
}

// Collect fulfils prometheus.Collector.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	var c pod.Census
	for _, p := range g.d.all() {
		p.count(&c)
	}
	tell(podsGauge, int64(c.Ready), "ready")
	tell(podsGauge, int64(c.Starting), "starting")
	tell(podsGauge, int64(c.Draining), "draining")
	tell(podsGauge, int64(c.Frozen), "frozen")
	tell(inFlightGauge, int64(c.InFlight))
	tell(waitingGauge, int64(c.Waiting))
	tell(heldGauge, g.d.held.taken())
	tell(frozenGauge, c.FrozenBytes)
}
