package stream_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

var hello = stream.App{Org: "acme-corp", Name: "hello.world"}

// open answers a Stream on a server of its own.
func open(t testing.TB, o stream.Options) (*stream.Stream, *streamtest.Server) {
	t.Helper()
	server := streamtest.Start(t)
	o.Conn = server.Conn
	return openOn(t, o), server
}

func openOn(t testing.TB, o stream.Options) *stream.Stream {
	t.Helper()
	s, err := stream.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openQueue(t testing.TB, s *stream.Stream, app stream.App) *stream.Queue {
	t.Helper()
	q, err := s.Queue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// within bounds a test's own waiting.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func workOf(app stream.App, number int) stream.Work {
	return stream.Work{
		Execution: fmt.Sprintf("exec_%06d", number),
		Owner:     "acme-corp",
		App:       app,
		Request:   []byte("{\"line\":1}\r\n"),
		Body:      []byte(fmt.Sprintf("body %d", number)),
	}
}

func enqueue(t testing.TB, s *stream.Stream, works ...stream.Work) {
	t.Helper()
	for _, work := range works {
		if err := s.Enqueue(t.Context(), work); err != nil {
			t.Fatal(err)
		}
	}
}

// take answers n jobs and fails if they do not come.
func take(t testing.TB, q *stream.Queue, n int) []*stream.Job {
	t.Helper()
	jobs := takeWithin(t, q, n, patience)
	if len(jobs) != n {
		t.Fatalf("took %d jobs, want %d", len(jobs), n)
	}
	return jobs
}

func takeWithin(t testing.TB, q *stream.Queue, n int, wait time.Duration) []*stream.Job {
	t.Helper()
	var jobs []*stream.Job
	for job, err := range q.Take(t.Context(), n, wait) {
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	return jobs
}

func ack(t testing.TB, jobs ...*stream.Job) {
	t.Helper()
	for _, job := range jobs {
		if err := job.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func executions(jobs []*stream.Job) []string {
	var names []string
	for _, job := range jobs {
		names = append(names, job.Execution)
	}
	slices.Sort(names)
	return names
}
