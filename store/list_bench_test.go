package store

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/stream/streamtest"
)

const (
	benchApps = 1000
	benchPage = 50
	// One record in so many has timed out.
	benchRare = 40_000
)

// BenchmarkListNewest is a page of the newest 50 records, with those that fit among many that do not. With -short the many are not a million.
func BenchmarkListNewest(b *testing.B) {
	for _, records := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			if testing.Short() && records > 100_000 {
				b.Skip("a million records take a minute to load")
			}
			benchmarkLists(b, records)
		})
	}
}

func benchmarkLists(b *testing.B, records int) {
	s := insideOf(b, streamtest.Start(b), Options{})
	began := time.UnixMilli(1_700_000_000_000)
	fill(b, s, records, began)
	reportIndex(b, s, records)
	middle := began.Add(time.Duration(records/2) * time.Millisecond)
	for _, bench := range []struct {
		name   string
		filter ExecutionFilter
	}{
		{"all", ExecutionFilter{}},
		{"app", ExecutionFilter{App: benchApp(7)}},
		{"rare status", ExecutionFilter{Statuses: []Status{Timeout}}},
		{"rare status of app", ExecutionFilter{App: benchApp(1), Statuses: []Status{Timeout}}},
		{"time range", ExecutionFilter{From: middle.Add(-time.Minute), To: middle}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			bench.filter.Org = "acme"
			benchmarkList(b, s, bench.filter)
		})
	}
}

func benchmarkList(b *testing.B, s *Store, f ExecutionFilter) {
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, _, err := s.ListExecutions(b.Context(), f, benchPage, ""); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func benchApp(i int) AppRef { return AppRef{Org: "acme", Name: fmt.Sprintf("app-%d", i%benchApps)} }

// fill stores records as CreateExecution and UpdateExecution would leave them, as fast as JetStream takes them.
func fill(b *testing.B, s *Store, records int, began time.Time) {
	b.Helper()
	js, err := jetstream.New(s.options.Conn, jetstream.WithPublishAsyncMaxPending(readBatch))
	if err != nil {
		b.Fatal(err)
	}
	defer js.CleanupPublisher()
	for i := range records {
		made := began.Add(time.Duration(i) * time.Millisecond)
		e := Execution{ID: executionID(newULID(made)), Org: "acme", App: benchApp(i), Status: Completed, CreatedAt: made, Result: make([]byte, 64)}
		if i%benchRare == 1 {
			e.Status = Timeout
		}
		value, err := encodeExecution(e)
		if err != nil {
			b.Fatal(err)
		}
		message := &nats.Msg{
			Subject: executionSubjects + executionKey(e.Org, e.ID, e.App), Data: value,
			Header: nats.Header{statusHeader: {string(e.Status)}, "Nats-TTL": {"72h"}},
		}
		if _, err := js.PublishMsgAsync(message, jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
}

// reportIndex says what the first list costs, which reads all, and what the index takes in memory.
func reportIndex(b *testing.B, s *Store, records int) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	if err := s.index.catchUp(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	known, room := 0, 0
	for _, timeline := range s.index.owners {
		for _, leaf := range timeline.leaves {
			known, room = known+len(leaf.ids), room+cap(leaf.ids)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if known != records {
		b.Fatalf("the index knows %d records, want %d", known, records)
	}
	b.Logf("first list reads for %v; room for %d records, %d bytes a record on the heap",
		took.Round(time.Millisecond), room, (int64(after.HeapAlloc)-int64(before.HeapAlloc))/int64(records))
}
