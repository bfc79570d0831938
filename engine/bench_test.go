package engine

import (
	"net/http"
	"sync"
	"testing"

	"dodil.io/ignite/engine/pod"
)

func BenchmarkDoWarm(b *testing.B) {
	p := start(b, echo, Config{})
	call := func() {
		if err := p.engine.Do(b.Context(), testApp, 0, func(pod.Target) error { return nil }); err != nil {
			b.Error(err)
		}
	}
	call()
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}

func BenchmarkDoWarmParallel(b *testing.B) {
	p := start(b, echo, Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := p.engine.Do(b.Context(), testApp, 0, func(pod.Target) error { return nil }); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkExecutions measures what is finished, from 64 submitters to acknowledged work.
func BenchmarkExecutions(b *testing.B) {
	p := start(b, http.HandlerFunc(echo), Config{})
	body := large(256)
	b.ReportAllocs()
	var submitters sync.WaitGroup
	tickets := make(chan struct{}, 64)
	for range 64 {
		submitters.Go(func() {
			for range tickets {
				p.submit(b, body)
				if err := p.store.Sync(b.Context()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		tickets <- struct{}{}
	}
	close(tickets)
	submitters.Wait()
	p.untilNoWork(b)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "finished/s")
}
