package stream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// move moves due work until the test ends.
func move(t testing.TB, s *stream.Stream) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var moving sync.WaitGroup
	moving.Go(func() {
		// A server that is restarted ends it, as it ends it for the engine.
		for ctx.Err() == nil {
			if err := s.MoveDue(ctx); err != nil && !errors.Is(err, stream.ErrUnavailable) {
				t.Error(err)
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		moving.Wait()
	})
}

// eventually asks until it is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	over := time.After(patience)
	for !so() {
		select {
		case <-ticker.C:
		case <-over:
			t.Fatalf("not so after %s: %s", patience, what)
		}
	}
}

func enqueueLater(t testing.TB, s *stream.Stream, due time.Time, works ...stream.Work) {
	t.Helper()
	for _, work := range works {
		if err := s.EnqueueLater(t.Context(), work, due, true); err != nil {
			t.Fatal(err)
		}
	}
}

func wantLater(t testing.TB, s *stream.Stream, execution string, want bool) {
	t.Helper()
	if later, err := s.IsLater(t.Context(), execution); err != nil || later != want {
		t.Errorf("%s is for later: %t, %v; want %t", execution, later, err, want)
	}
}

func TestWorkComesWhenItIsDue(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	move(t, s)
	q := openQueue(t, s, hello)
	due := time.Now().Add(1300 * time.Millisecond)
	want := workOf(hello, 1)
	enqueueLater(t, s, due, want)
	wantLater(t, s, want.Execution, true)
	if waits, err := s.Waits(t.Context(), hello, want.Execution); err != nil || waits {
		t.Errorf("it is in the queue: %t, %v", waits, err)
	}
	got := take(t, q, 1)[0]
	if early := time.Until(due); early > 0 {
		t.Errorf("came %s before it was due", early)
	}
	if fmt.Sprintf("%q", got.Work) != fmt.Sprintf("%q", want) {
		t.Errorf("took %q, want %q", got.Work, want)
	}
	ack(t, got)
	eventually(t, "nothing is for later", func() bool {
		later, err := s.IsLater(t.Context(), want.Execution)
		return err == nil && !later
	})
}

// Rescheduled work comes once, at its last time.
func TestLaterWorkIsReplaced(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	work := workOf(hello, 1)
	enqueueLater(t, s, time.Now().Add(time.Hour), work)
	work.Body = []byte("again")
	enqueueLater(t, s, time.Now(), work)
	move(t, s)
	q := openQueue(t, s, hello)
	got := take(t, q, 1)
	if string(got[0].Body) != "again" {
		t.Errorf("took body %q", got[0].Body)
	}
	ack(t, got...)
	if more := takeWithin(t, q, 1, 0); len(more) != 0 {
		t.Errorf("it came twice")
	}
}

// The worker stores the next attempt first and acknowledges the one before it then. In between the next may be due: it must
// neither be taken for a repetition nor go with the acknowledgement.
func TestDueWorkOutlivesTheAttemptBefore(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	move(t, s)
	q := openQueue(t, s, hello)
	work := workOf(hello, 1)
	enqueue(t, s, work)
	held := take(t, q, 1)
	work.Body = []byte("next attempt")
	enqueueLater(t, s, time.Now(), work)
	eventually(t, "the mover was refused", func() bool { return moverInfo(t, server.Conn).NumRedelivered > 0 })
	wantLater(t, s, work.Execution, true)

	ack(t, held...)
	next := take(t, q, 1)
	if string(next[0].Body) != "next attempt" {
		t.Errorf("took body %q", next[0].Body)
	}
	ack(t, next...)
}

func moverInfo(t testing.TB, conn *nats.Conn) *jetstream.ConsumerInfo {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	mover, err := js.Consumer(t.Context(), "IGNITE_LATER", "mover")
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return &jetstream.ConsumerInfo{}
	}
	if err != nil {
		t.Fatal(err)
	}
	return mover.CachedInfo()
}

func TestLaterWorkSurvivesARestart(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	due, pending := workOf(hello, 1), workOf(hello, 2)
	when := time.Now().Add(2 * time.Second)
	enqueueLater(t, s, time.Now(), due)
	enqueueLater(t, s, when, pending)
	eventually(t, "one is due", func() bool { return messages(t, server.Conn, "ignite.later.*.due.*.*") == 1 })

	server.Restart(t)
	again := openOn(t, stream.Options{Conn: server.Connect(t)})
	move(t, again)
	jobs := take(t, openQueue(t, again, hello), 2)
	if early := time.Until(when); early > 0 {
		t.Errorf("what was pending came %s before it was due", early)
	}
	if got, want := executions(jobs), []string{due.Execution, pending.Execution}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	ack(t, jobs...)
}

// messages counts what is for later under a subject.
func messages(t testing.TB, conn *nats.Conn, subject string) int {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	later, err := js.Stream(t.Context(), "IGNITE_LATER")
	if err != nil {
		t.Fatal(err)
	}
	info, err := later.Info(t.Context(), jetstream.WithSubjectFilter(subject))
	if err != nil {
		t.Fatal(err)
	}
	return len(info.State.Subjects)
}

// The mover goes on by itself over a restart, as its caller begins it again.
func TestMoversShareTheirWork(t *testing.T) {
	t.Parallel()
	const count = 300
	s, server := open(t, stream.Options{})
	for range 2 {
		move(t, openOn(t, stream.Options{Conn: server.Connect(t)}))
	}
	for number := range count {
		enqueueLater(t, s, time.Now().Add(time.Duration(number)*time.Millisecond), workOf(hello, number))
	}
	server.Restart(t)
	q := openQueue(t, openOn(t, stream.Options{Conn: server.Connect(t)}), hello)
	jobs := take(t, q, count)
	if distinct := slices.Compact(executions(jobs)); len(distinct) != count {
		t.Errorf("took %d executions, want %d", len(distinct), count)
	}
	eventually(t, "all are moved", func() bool { return messages(t, server.Conn, "ignite.later.>") == 0 })
	ack(t, jobs...)
	if more := takeWithin(t, q, 1, 0); len(more) != 0 {
		t.Errorf("%v came twice", executions(more))
	}
}

func TestDueWorkIsTakenOverFromADeadMover(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{AckWait: 300 * time.Millisecond})
	dying := server.Connect(t)
	holdDue(t, s, server, dying)
	dying.Close()
	move(t, s)
	ack(t, take(t, openQueue(t, s, hello), 1)...)
}

// holdDue has a mover take due work and say nothing.
func holdDue(t *testing.T, s *stream.Stream, server *streamtest.Server, dying *nats.Conn) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var making sync.WaitGroup
	making.Go(func() { _ = s.MoveDue(ctx) }) // so that there is its consumer
	eventually(t, "there is a mover", func() bool { return moverInfo(t, server.Conn).Name != "" })
	cancel()
	making.Wait()
	js, err := jetstream.New(dying)
	if err != nil {
		t.Fatal(err)
	}
	mover, err := js.Consumer(t.Context(), "IGNITE_LATER", "mover")
	if err != nil {
		t.Fatal(err)
	}
	enqueueLater(t, s, time.Now(), workOf(hello, 1))
	if _, err := mover.Next(jetstream.FetchMaxWait(patience)); err != nil {
		t.Fatal(err)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	work := workOf(hello, 1)
	remove := func() {
		t.Helper()
		if err := s.Remove(t.Context(), hello, work.Execution); err != nil {
			t.Fatal(err)
		}
		wantLater(t, s, work.Execution, false)
		if waits, err := s.Waits(t.Context(), hello, work.Execution); err != nil || waits {
			t.Errorf("it waits: %t, %v", waits, err)
		}
	}
	remove() // nothing

	soon := time.Now().Add(time.Second)
	enqueueLater(t, s, soon, work)
	remove()
	enqueueLater(t, s, soon, workOf(hello, 2))
	eventually(t, "another one is due", func() bool { return messages(t, server.Conn, "ignite.later.*.due.*.*") == 1 })
	wantLater(t, s, work.Execution, false)

	enqueueLater(t, s, time.Now(), work)
	eventually(t, "it is due", func() bool { return messages(t, server.Conn, "ignite.later.*.due.*.*") == 2 })
	remove()

	enqueue(t, s, work)
	remove()

	q := openQueue(t, s, hello)
	if jobs := takeWithin(t, q, 1, 0); len(jobs) != 0 {
		t.Errorf("took %v", executions(jobs))
	}
	enqueue(t, s, work)
	held := take(t, q, 1)
	remove()
	ack(t, held...)
	if err := s.Remove(t.Context(), hello, "exec.*"); !errors.Is(err, stream.ErrInvalid) {
		t.Errorf("of many: %v", err)
	}
}

// The stream would drop the oldest instead of refusing.
func TestEnqueueLaterWithoutRoom(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{MaxWorkBytes: 128 << 10})
	tomorrow := time.Now().Add(24 * time.Hour)
	number := 0
	fill := func(again bool) {
		t.Helper()
		for {
			work := workOf(hello, number)
			work.Body = make([]byte, 500)
			err := s.EnqueueLater(t.Context(), work, tomorrow, again)
			if errors.Is(err, stream.ErrFull) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			number++
		}
	}
	fill(false)
	fresh := number
	fill(true)
	if fresh == 0 || number == fresh {
		t.Errorf("there was room for %d new executions and %d that come again, want some of both", fresh, number-fresh)
	}
	for i := range number {
		wantLater(t, s, workOf(hello, i).Execution, true)
	}
	if err := s.Remove(t.Context(), hello, workOf(hello, 0).Execution); err != nil {
		t.Fatal(err)
	}
	enqueueLater(t, s, tomorrow, workOf(hello, number))
}

func TestEnqueueLaterRefuses(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	tests := map[string]struct {
		change func(*stream.Work)
		due    time.Time
		want   error
	}{
		"two tokens as id": {func(w *stream.Work) { w.Execution = "exec.1" }, time.Now(), stream.ErrInvalid},
		"body over 1 MiB":  {func(w *stream.Work) { w.Body = make([]byte, 1<<20) }, time.Now(), stream.ErrTooLarge},
		"the far future":   {func(*stream.Work) {}, time.Now().AddDate(300, 0, 0), stream.ErrInvalid},
	}
	for name, test := range tests {
		work := workOf(hello, 1)
		test.change(&work)
		if err := s.EnqueueLater(t.Context(), work, test.due, false); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestMoveDueEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.MoveDue(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}
