package stream_test

import (
	"testing"
	"time"

	"dodil.io/ignite/stream"
)

func limitedQueue(t *testing.T, s *stream.Stream, limit int) *stream.Queue {
	t.Helper()
	q, err := s.LimitedQueue(t.Context(), hello, limit)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func enqueueMany(t *testing.T, s *stream.Stream, n int) {
	t.Helper()
	for number := range n {
		enqueue(t, s, workOf(hello, number))
	}
}

// moment is long enough for a job to come that must not.
const moment = 100 * time.Millisecond

func TestLimitHoldsOverAllWorkers(t *testing.T) {
	t.Parallel()
	first, server := open(t, stream.Options{})
	second := openOn(t, stream.Options{Conn: server.Connect(t)})
	enqueueMany(t, first, 10)
	one, other := limitedQueue(t, first, 3), limitedQueue(t, second, 3)
	held := append(take(t, one, 2), takeWithin(t, other, 8, moment)...)
	if len(held) != 3 {
		t.Fatalf("two workers hold %d jobs, and 3 is the limit", len(held))
	}
	ack(t, held[0])
	if more := takeWithin(t, other, 8, moment); len(more) != 1 {
		t.Errorf("%d jobs came when one had ended", len(more))
	}
}

func TestLimitChangesWhileTheQueueIsOpen(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	enqueueMany(t, s, 10)
	q := limitedQueue(t, s, 2)
	held := takeWithin(t, q, 8, moment)
	if len(held) != 2 {
		t.Fatalf("%d jobs were taken, and 2 is the limit", len(held))
	}
	for _, step := range []struct{ limit, more int }{{5, 3}, {1, 0}, {0, 5}} {
		if err := q.Limit(t.Context(), step.limit); err != nil {
			t.Fatal(err)
		}
		more := takeWithin(t, q, 8, moment)
		if len(more) != step.more {
			t.Errorf("with a limit of %d and %d in hand, %d more jobs came, want %d", step.limit, len(held), len(more), step.more)
		}
		held = append(held, more...)
	}
}

// This is a fact of JetStream that users of a limit have to know.
func TestWorkReturnedWithADelayCountsInTheLimit(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	enqueueMany(t, s, 2)
	q := limitedQueue(t, s, 1)
	if err := take(t, q, 1)[0].Return(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if jobs := takeWithin(t, q, 1, moment); len(jobs) != 0 {
		t.Errorf("took %v: what waits for its delay holds no place any more", executions(jobs))
	}
}

func TestTakeBytes(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	for number := range 6 {
		work := workOf(hello, number)
		work.Body = make([]byte, 700<<10)
		enqueue(t, s, work)
	}
	q := openQueue(t, s, hello)
	for _, want := range []int{2, 2, 2, 0} {
		jobs := 0
		for job, err := range q.TakeBytes(t.Context(), 100, 2*stream.LargestWork, 0) {
			if err != nil {
				t.Fatal(err)
			}
			ack(t, job)
			jobs++
		}
		if jobs != want {
			t.Errorf("%d jobs of 700 KiB came, want %d within 2 MiB", jobs, want)
		}
	}
}

func TestQueueKnowsHowMuchWaits(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	enqueueMany(t, s, 5)
	q := openQueue(t, s, hello)
	known := func(want int, when string) {
		t.Helper()
		if n := q.Waiting(); n != want {
			t.Errorf("%s, %d jobs are said to wait, want %d", when, n, want)
		}
	}
	known(5, "when the queue was opened")
	ack(t, take(t, q, 2)...)
	known(3, "after two were taken")
	enqueue(t, s, workOf(hello, 100))
	for ctx := within(t, patience); ; { // JetStream tells its consumers a moment after it has stored
		n, err := q.Count(ctx)
		if err != nil {
			t.Fatalf("count %d waiting jobs until another is seen: %v", n, err)
		}
		if n == 4 {
			break
		}
	}
	known(4, "after they were counted")
	ack(t, take(t, q, 4)...)
	known(0, "after all were taken")
}
