package engine

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// orphan is what was found without what belongs to it.
type orphan string

const (
	recordWithoutWork    orphan = "record_without_work"
	workWithoutRecord    orphan = "work_without_record"
	payloadWithoutRecord orphan = "payload_without_record"
)

// metrics is what an engine counts.
type metrics struct {
	reaped *prometheus.CounterVec
}

// newMetrics registers them; a nil registerer keeps them to themselves.
func newMetrics(registerer prometheus.Registerer) (metrics, error) {
	m := metrics{reaped: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ignite_reaped_total",
		Help: "Records, work and payloads that were found without what belongs to them, and ended or deleted. The healthy value is 0.",
	}, []string{"kind"})}
	// A kind that was never found is told as 0, too.
	for _, kind := range []orphan{recordWithoutWork, workWithoutRecord, payloadWithoutRecord} {
		m.reaped.WithLabelValues(string(kind))
	}
	if registerer == nil {
		return m, nil
	}
	if err := registerer.Register(m.reaped); err != nil {
		return metrics{}, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// countReaped counts one that was found and mended.
func (m metrics) countReaped(kind orphan) { m.reaped.WithLabelValues(string(kind)).Inc() }
