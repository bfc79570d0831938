package stream_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dodil.io/ignite/stream"
)

func BenchmarkEnqueue(b *testing.B) {
	s, _ := open(b, stream.Options{})
	for number := 0; b.Loop(); number++ {
		enqueue(b, s, workOf(hello, number))
	}
}

// 64 callers for 16 apps.
func BenchmarkEnqueueParallel(b *testing.B) {
	s, _ := open(b, stream.Options{})
	var number atomic.Int64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			n := int(number.Add(1))
			app := stream.App{Org: "acme", Name: fmt.Sprintf("app-%d", n%16)}
			enqueue(b, s, workOf(app, n))
		}
	})
}

func BenchmarkTakeAndAck(b *testing.B) {
	for _, size := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("take=%d", size), func(b *testing.B) { benchmarkTake(b, size) })
	}
}

// benchmarkTake acknowledges each job on a goroutine of its own, as a worker does, and counts only that and the taking.
func benchmarkTake(b *testing.B, size int) {
	s, _ := open(b, stream.Options{})
	q := openQueue(b, s, hello)
	number := 0
	for b.Loop() {
		b.StopTimer()
		for range 256 {
			enqueue(b, s, workOf(hello, number))
			number++
		}
		b.StartTimer()
		var acks sync.WaitGroup
		for range 256 / size {
			for _, job := range take(b, q, size) {
				acks.Go(func() { ack(b, job) })
			}
		}
		acks.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(number), "ns/job")
}

func BenchmarkPublishChunk(b *testing.B) {
	s, _ := open(b, stream.Options{})
	for index := int64(0); b.Loop(); index++ {
		publish(b, s, 1, index)
	}
}

// From the publishing of a chunk to its watcher's reader.
func BenchmarkWatch(b *testing.B) {
	s, _ := open(b, stream.Options{})
	settled, index := false, int64(0)
	for event, err := range s.Watch(b.Context(), running, 0, 0) {
		if err != nil {
			b.Fatal(err)
		}
		settled = settled || event.Settled
		if !settled {
			continue
		}
		if !b.Loop() {
			break
		}
		publish(b, s, 1, index)
		index++
	}
}

// Each watcher follows an execution of its own and has caught up.
func BenchmarkIdleWatcher(b *testing.B) {
	const watchers = 10_000
	s, _ := open(b, stream.Options{})
	for b.Loop() {
		before := memoryInUse()
		stop := watchIdly(b, s, watchers)
		b.ReportMetric(float64(memoryInUse()-before)/watchers, "B/watcher")
		stop()
	}
}

// Each waits for the next change of a record of its own.
func BenchmarkIdleChanges(b *testing.B) {
	const waiting = 10_000
	s, _ := open(b, stream.Options{})
	for b.Loop() {
		before := memoryInUse()
		ctx, cancel := context.WithCancel(b.Context())
		var following, begun sync.WaitGroup
		begun.Add(waiting)
		for number := range waiting {
			following.Go(func() {
				done := sync.OnceFunc(begun.Done)
				for err := range s.Changes(ctx, fmt.Sprintf("exec_%06d", number)) {
					if err != nil {
						b.Error(err)
					}
					done()
				}
			})
		}
		begun.Wait()
		b.ReportMetric(float64(memoryInUse()-before)/waiting, "B/waiter")
		cancel()
		following.Wait()
	}
}

// watchIdly answers once so many watchers wait.
func watchIdly(b *testing.B, s *stream.Stream, watchers int) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var watching, caughtUp sync.WaitGroup
	caughtUp.Add(watchers)
	for number := range watchers {
		watching.Go(func() {
			done := sync.OnceFunc(caughtUp.Done)
			for event, err := range s.Watch(ctx, fmt.Sprintf("exec_%06d", number), 0, 0) {
				if err != nil {
					b.Error(err)
					done()
					return
				}
				if event.Settled {
					done()
				}
			}
		})
	}
	caughtUp.Wait()
	return func() { cancel(); watching.Wait() }
}

func memoryInUse() uint64 {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return memory.HeapInuse + memory.StackInuse
}

// Of 10,000 chunks the last thousand, among the output of others.
func BenchmarkResume(b *testing.B) {
	const count, from = 10_000, 9_000
	s, _ := open(b, stream.Options{})
	for index := range int64(count) {
		publish(b, s, 1, index)
		other := stream.Chunk{Execution: "exec_other", Attempt: 1, Index: index, Data: make([]byte, 256)}
		if err := s.PublishChunk(b.Context(), other); err != nil {
			b.Fatal(err)
		}
	}
	var first, all time.Duration
	for b.Loop() {
		began, got := time.Now(), int64(from)
		for event, err := range s.Watch(b.Context(), running, 1, from) {
			switch {
			case err != nil:
				b.Fatal(err)
			case event.Chunk != nil:
				if got == from {
					first += time.Since(began)
				}
				got++
			}
			if event.Settled {
				break
			}
		}
		all += time.Since(began)
		if got != count {
			b.Fatalf("watched up to chunk %d, want %d", got, count)
		}
	}
	b.ReportMetric(float64(first.Microseconds())/1000/float64(b.N), "ms/first")
	b.ReportMetric(float64(all.Microseconds())/1000/float64(b.N), "ms/all")
}
