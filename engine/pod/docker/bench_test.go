package docker_test

import (
	"testing"
	"time"
)

// BenchmarkColdStart is from nothing to the first answer, and on to nothing again.
func BenchmarkColdStart(b *testing.B) {
	driver, spec := open(b, b.TempDir()), serving(b)
	var ready time.Duration
	for b.Loop() {
		began := time.Now()
		p := start(b, driver, spec)
		if _, err := ask(p, "/"); err != nil {
			b.Fatal(err)
		}
		ready += time.Since(began)
		if err := p.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(ready.Milliseconds())/float64(b.N), "ms/ready")
}
