package stream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// Three servers hold everything three times, and one of them may go at any time. The steps share one cluster, as it takes seconds to agree.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: a cluster elects its leaders again and again")
	}
	t.Parallel()
	c := streamtest.StartCluster(t)
	s := openOn(t, stream.Options{Conn: c.Connect(t, 0), Replicas: 3, Shards: 1})
	steps := []struct {
		name string
		run  func(*testing.T, *streamtest.Cluster, *stream.Stream)
	}{
		{"work outlives the leader of the queue", clusterWork},
		{"watchers go on without the leader of the output", clusterWatch},
		{"work for later outlives its leader", clusterLater},
		{"nothing hangs without a majority", clusterMinority},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, c, s) }) {
			return
		}
	}
}

// insist does what is to be done until NATS takes it: the caller of an unavailable queue is told to try again.
func insist(t testing.TB, do func(context.Context) error) {
	t.Helper()
	ctx := within(t, time.Minute)
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		attempt, done := context.WithTimeout(ctx, time.Second)
		err := do(attempt)
		done()
		if err == nil {
			return
		}
		if !errors.Is(err, stream.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("refused with %v", err)
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			t.Errorf("not done within a minute: %v", err)
			return
		}
	}
}

func clusterWork(t *testing.T, c *streamtest.Cluster, s *stream.Stream) {
	const count = 200
	leader := c.Leader(t, "IGNITE_WORK_0")
	worker := openOn(t, stream.Options{Conn: c.Connect(t, (leader+1)%3), Replicas: 3, Shards: 1})
	done := make(map[string]int)
	var working sync.WaitGroup
	working.Go(func() {
		for len(done) < count && !t.Failed() {
			workOnCluster(t, worker, done)
		}
	})
	for number := range count {
		if number == count/2 {
			c.Kill(t, leader)
		}
		insist(t, func(ctx context.Context) error { return s.Enqueue(ctx, workOf(hello, number)) })
	}
	working.Wait()
	c.Resume(t, leader)
}

// workOnCluster takes and acknowledges what is there, until NATS fails.
func workOnCluster(t *testing.T, worker *stream.Stream, done map[string]int) {
	ctx := within(t, 5*time.Second)
	q, err := worker.Queue(ctx, hello)
	if err != nil {
		return
	}
	defer func() { _ = q.Close() }()
	for job, err := range q.Take(ctx, 20, time.Second) {
		if err != nil {
			return
		}
		insist(t, job.Ack)
		done[job.Execution]++
	}
}

func clusterWatch(t *testing.T, c *streamtest.Cluster, s *stream.Stream) {
	const count = 200
	leader := c.Leader(t, "IGNITE_OUTPUT")
	ctx := within(t, time.Minute)
	var watching sync.WaitGroup
	for node := range 3 {
		watcher := openOn(t, stream.Options{Conn: c.Connect(t, node), Replicas: 3, Shards: 1})
		watching.Go(func() {
			got, err := watchUntil(ctx, watcher.Watch(ctx, running, 0, 0), fmt.Sprintf("1.%d", count-1), nil)
			if err != nil {
				t.Errorf("watcher at node %d: %v", node, err)
			}
			wantInOrder(t, got, 1, 0, count)
		})
	}
	for index := range int64(count) {
		if index == count/2 {
			c.Stop(t, leader)
		}
		insist(t, func(ctx context.Context) error { return s.PublishChunk(ctx, chunkOf(1, index)) })
	}
	watching.Wait()
	c.Resume(t, leader)
}

func clusterLater(t *testing.T, c *streamtest.Cluster, s *stream.Stream) {
	move(t, s)
	due := time.Now().Add(time.Second)
	work := workOf(hello, 1000)
	insist(t, func(ctx context.Context) error { return s.EnqueueLater(ctx, work, due, true) })
	leader := c.Leader(t, "IGNITE_LATER")
	c.Stop(t, leader)
	done := make(map[string]int)
	for ctx := within(t, time.Minute); done[work.Execution] == 0; {
		if workOnCluster(t, s, done); ctx.Err() != nil {
			t.Fatal("it did not come")
		}
	}
	if early := time.Until(due); early > 0 {
		t.Errorf("it came %s too early", early)
	}
	c.Resume(t, leader)
}

// With one node of three nothing can be stored. Everybody is told so in time.
func clusterMinority(t *testing.T, c *streamtest.Cluster, s *stream.Stream) {
	q := openQueue(t, s, hello)
	insist(t, func(ctx context.Context) error { return s.Enqueue(ctx, workOf(hello, 2000)) })
	job := take(t, q, 1)[0]
	c.Kill(t, 1)
	c.Kill(t, 2)
	calls := map[string]func(context.Context) error{
		"Enqueue":      func(ctx context.Context) error { return s.Enqueue(ctx, workOf(hello, 2001)) },
		"EnqueueLater": func(ctx context.Context) error { return s.EnqueueLater(ctx, workOf(hello, 2002), time.Now(), true) },
		"PublishChunk": func(ctx context.Context) error { return s.PublishChunk(ctx, chunkOf(2, 0)) },
		"KeepDeadLetter": func(ctx context.Context) error {
			return s.KeepDeadLetter(ctx, workOf(hello, 1), time.Now().Add(time.Hour))
		},
		"Queue": func(ctx context.Context) error {
			_, err := s.Queue(ctx, stream.App{Org: "acme-corp", Name: "new"})
			return err
		},
		"Ack":     job.Ack,
		"Remove":  func(ctx context.Context) error { return s.Remove(ctx, hello, "exec_1") },
		"Waiting": func(ctx context.Context) error { _, err := s.Waiting(ctx); return err },
		"Waits":   func(ctx context.Context) error { _, err := s.Waits(ctx, hello, "exec_1"); return err },
		"IsLater": func(ctx context.Context) error { _, err := s.IsLater(ctx, "exec_1"); return err },
		"Empty":   func(ctx context.Context) error { _, err := q.Empty(ctx); return err },
		"DeadLetters": func(ctx context.Context) error {
			_, err := s.DeadLetters(ctx, []string{"exec_1", "exec_2"})
			return err
		},
		"Take": func(ctx context.Context) error {
			_, err := collect(q.Take(ctx, 1, time.Hour))
			return err
		},
		"Watch": func(ctx context.Context) error {
			_, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), "never", nil)
			return err
		},
	}
	const patient = 500 * time.Millisecond
	var calling sync.WaitGroup
	for name, call := range calls {
		calling.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			defer cancel()
			began := time.Now()
			err := call(ctx)
			if took := time.Since(began); took > 4*patient {
				t.Errorf("%s with %s took %s: %v", name, patient, took, err)
			}
			t.Logf("%s: %v", name, err)
		})
	}
	calling.Wait()
	c.Resume(t, 1)
	insist(t, func(ctx context.Context) error { return s.Enqueue(ctx, workOf(hello, 2001)) })
	c.Resume(t, 2)
}
