package stream_test

import (
	"bytes"
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
)

func TestEnqueueAndTake(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	want := workOf(hello, 1)
	enqueue(t, s, want)

	got := take(t, openQueue(t, s, hello), 1)[0]
	if got.Execution != want.Execution || got.Owner != want.Owner || got.App != want.App {
		t.Errorf("took %+v, want %+v", got.Work, want)
	}
	if !bytes.Equal(got.Request, want.Request) || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("took request %q and body %q, want %q and %q", got.Request, got.Body, want.Request, want.Body)
	}
	if got.Delivered != 1 {
		t.Errorf("delivered %d times, want 1", got.Delivered)
	}
	ack(t, got)
	if waiting, err := s.Waiting(t.Context()); err != nil || len(waiting) != 0 {
		t.Errorf("waiting after the acknowledgement: %v, %v; want none", waiting, err)
	}
}

func TestEnqueueTwiceIsOnce(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	q := openQueue(t, s, hello)
	enqueue(t, s, workOf(hello, 1), workOf(hello, 1))
	job := take(t, q, 1)
	enqueue(t, s, workOf(hello, 1))
	if again := takeWithin(t, q, 1, 0); len(again) != 0 {
		t.Errorf("the same execution was taken again: %v", executions(again))
	}
	ack(t, job...)
}

func TestEnqueueIntoFullQueue(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{Shards: 1, MaxWorkBytes: 4096})
	var err error
	for number := 0; number < 100 && err == nil; number++ {
		err = s.Enqueue(t.Context(), workOf(hello, number))
	}
	if !errors.Is(err, stream.ErrFull) {
		t.Fatalf("a full queue answered %v, want ErrFull", err)
	}
	ack(t, take(t, openQueue(t, s, hello), 1)...)
	enqueue(t, s, workOf(hello, 1000))
}

func TestEnqueueRefuses(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	tests := map[string]struct {
		change func(*stream.Work)
		want   error
	}{
		"no organization":    {func(w *stream.Work) { w.App.Org = "" }, stream.ErrInvalid},
		"wildcard as app":    {func(w *stream.Work) { w.App.Name = "*" }, stream.ErrInvalid},
		"underscore in app":  {func(w *stream.Work) { w.App.Name = "a_b" }, stream.ErrInvalid},
		"dot at the end":     {func(w *stream.Work) { w.App.Name = "a." }, stream.ErrInvalid},
		"two tokens as id":   {func(w *stream.Work) { w.Execution = "exec.1" }, stream.ErrInvalid},
		"owner with newline": {func(w *stream.Work) { w.Owner = "a\nb" }, stream.ErrInvalid},
		"body over 1 MiB":    {func(w *stream.Work) { w.Body = make([]byte, 1<<20) }, stream.ErrTooLarge},
	}
	for name, test := range tests {
		work := workOf(hello, 1)
		test.change(&work)
		if err := s.Enqueue(t.Context(), work); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestTakeEndsAfterWait(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	q := openQueue(t, s, hello)
	began := time.Now()
	if jobs := takeWithin(t, q, 5, 50*time.Millisecond); len(jobs) != 0 {
		t.Errorf("took %v from an empty queue", executions(jobs))
	}
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("ended after %s, before the wait was over", took)
	}
	enqueue(t, s, workOf(hello, 1), workOf(hello, 2))
	if jobs := takeWithin(t, q, 5, 0); len(jobs) != 2 {
		t.Errorf("without waiting took %v, want both", executions(jobs))
	}
}

func TestTakeAnswersEachJobAsItComes(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	q := openQueue(t, s, hello)
	number := 0
	enqueue(t, s, workOf(hello, number))
	for job, err := range q.Take(t.Context(), 3, patience) {
		if err != nil {
			t.Fatal(err)
		}
		ack(t, job)
		if number++; number < 3 {
			enqueue(t, s, workOf(hello, number))
		}
	}
	if number != 3 {
		t.Errorf("took %d jobs, want 3", number)
	}
}

func TestTakeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	q := openQueue(t, s, hello)
	enqueue(t, s, workOf(hello, 1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	taken := 0
	for job, err := range q.Take(ctx, 2, patience) {
		if err != nil {
			t.Fatal(err)
		}
		taken++
		ack(t, job)
		cancel()
	}
	if taken != 1 {
		t.Errorf("took %d jobs, want 1", taken)
	}
}

// What was delivered to a Take that ended early must not wait for AckWait.
func TestTakeGivesBackWhatItDidNotYield(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{AckWait: time.Hour})
	q := openQueue(t, s, hello)
	for number := range 50 {
		enqueue(t, s, workOf(hello, number))
	}
	for job, err := range q.Take(t.Context(), 50, patience) {
		if err != nil {
			t.Fatal(err)
		}
		ack(t, job)
		break
	}
	ack(t, take(t, openQueue(t, s, hello), 49)...)
}

func TestWorkOfASilentWorkerComesAgain(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{AckWait: 200 * time.Millisecond})
	dying := server.Connect(t)
	worker := openOn(t, stream.Options{Conn: dying, AckWait: 200 * time.Millisecond})
	enqueue(t, s, workOf(hello, 1))
	take(t, openQueue(t, worker, hello), 1)
	dying.Close()

	again := take(t, openQueue(t, s, hello), 1)[0]
	if again.Delivered != 2 {
		t.Errorf("delivered %d times, want 2", again.Delivered)
	}
	ack(t, again)
}

func TestRenewKeepsWork(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{AckWait: 300 * time.Millisecond})
	q := openQueue(t, s, hello)
	enqueue(t, s, workOf(hello, 1))
	job := take(t, q, 1)[0]
	for range 8 {
		if err := job.Renew(); err != nil {
			t.Fatal(err)
		}
		if jobs := takeWithin(t, q, 1, 100*time.Millisecond); len(jobs) != 0 {
			t.Fatal("renewed work was given to another")
		}
	}
	ack(t, job)
}

func TestReturnDelivers(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	q := openQueue(t, s, hello)
	enqueue(t, s, workOf(hello, 1))
	for _, delay := range []time.Duration{0, 150 * time.Millisecond} {
		job := take(t, q, 1)[0]
		began := time.Now()
		if err := job.Return(t.Context(), delay); err != nil {
			t.Fatal(err)
		}
		again := take(t, q, 1)[0]
		if took := time.Since(began); took < delay {
			t.Errorf("delivered %s after a return with %s", took, delay)
		}
		if err := again.Return(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWorkersShareAQueue(t *testing.T) {
	t.Parallel()
	const count = 400
	s, server := open(t, stream.Options{})
	var mu sync.Mutex
	var taken []string
	var workers sync.WaitGroup
	all := make(chan struct{})
	for range 2 {
		worker := openOn(t, stream.Options{Conn: server.Connect(t)})
		q := openQueue(t, worker, hello)
		ctx, cancel := context.WithCancel(t.Context())
		workers.Go(func() {
			defer cancel()
			<-all
		})
		workers.Go(func() {
			for ctx.Err() == nil {
				for job, err := range q.Take(ctx, 10, patience) {
					if err == nil {
						err = job.Ack(t.Context())
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if taken = append(taken, job.Execution); len(taken) == count {
						close(all)
					}
					mu.Unlock()
				}
			}
		})
	}
	for number := range count {
		enqueue(t, s, workOf(hello, number))
	}
	workers.Wait()
	slices.Sort(taken)
	if distinct := slices.Compact(slices.Clone(taken)); len(distinct) != count || len(taken) != count {
		t.Errorf("%d jobs of %d executions were taken, want %d of each", len(taken), len(distinct), count)
	}
}

func TestAppsDoNotTakeFromEachOther(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{Shards: 1})
	apps := []stream.App{{Org: "a", Name: "b.c"}, {Org: "a.b", Name: "c"}, {Org: "a", Name: "b-c"}}
	for number, app := range apps {
		enqueue(t, s, workOf(app, number))
	}
	for number, app := range apps {
		jobs := take(t, openQueue(t, s, app), 1)
		if want := workOf(app, number).Execution; jobs[0].Execution != want || jobs[0].App != app {
			t.Errorf("%s took %s of %s, want %s", app, jobs[0].Execution, jobs[0].App, want)
		}
		ack(t, jobs...)
	}
}

func TestQueueOutlivesItsConsumer(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{Shards: 1})
	q := openQueue(t, s, hello)
	enqueue(t, s, workOf(hello, 1), workOf(hello, 2))
	held := take(t, q, 2)
	deleteConsumers(t, server.Conn, "IGNITE_WORK_0")

	// Both come again, because nobody knows any longer who holds them; acknowledging the first delivery still counts.
	ack(t, held[0])
	if again := take(t, q, 1); again[0].Execution != held[1].Execution {
		t.Errorf("took %s, want %s", again[0].Execution, held[1].Execution)
	}
	ack(t, held[1])
	if waiting, err := s.Waiting(t.Context()); err != nil || len(waiting) != 0 {
		t.Errorf("waiting after both were acknowledged: %v, %v; want none", waiting, err)
	}
}

// A worker that held work through the loss of the consumer acknowledges it to a new one that has not given it out.
func TestAckToAnotherConsumer(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{Shards: 1})
	enqueue(t, s, workOf(hello, 1))
	held := take(t, openQueue(t, s, hello), 1)
	deleteConsumers(t, server.Conn, "IGNITE_WORK_0")
	again := openQueue(t, s, hello)
	ack(t, held...)
	if jobs := takeWithin(t, again, 1, 0); len(jobs) != 0 {
		t.Errorf("acknowledged work came again: %v", executions(jobs))
	}
}

func TestQueueAcrossRestart(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	q := openQueue(t, s, hello)
	enqueue(t, s, workOf(hello, 1))
	held := take(t, q, 1)
	server.Restart(t)

	// What was held comes again, as an embedded server's restart is its workers' restart too.
	for {
		jobs, err := collect(q.Take(t.Context(), 1, patience))
		if err != nil && !errors.Is(err, stream.ErrUnavailable) {
			t.Fatal(err)
		}
		if len(jobs) == 0 {
			continue
		}
		if jobs[0].Execution != held[0].Execution {
			t.Errorf("took %s, want %s", jobs[0].Execution, held[0].Execution)
		}
		ack(t, jobs...)
		return
	}
}

// A caller with much time hears soon that nobody answers.
func TestServerThatIsAway(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	q := openQueue(t, s, hello)
	enqueue(t, s, workOf(hello, 1))
	job := take(t, q, 1)[0]
	server.Stop(t)
	ctx := within(t, time.Hour)
	calls := map[string]func() error{
		"enqueue": func() error { return s.Enqueue(ctx, workOf(hello, 2)) },
		"publish": func() error { return s.PublishChunk(ctx, chunkOf(1, 0)) },
		"ack":     func() error { return job.Ack(ctx) },
		"queue": func() error {
			_, err := s.Queue(ctx, hello)
			return err
		},
	}
	var calling sync.WaitGroup
	for name, call := range calls {
		calling.Go(func() {
			if err := call(); !errors.Is(err, stream.ErrUnavailable) {
				t.Errorf("%s without a server: %v, want ErrUnavailable", name, err)
			}
		})
	}
	calling.Wait()
}

func TestStrangeMessagesAreDeleted(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{Shards: 1})
	if err := server.Conn.Publish("ignite.work.0.acme-corp.hello_world.exec_1", []byte("no headers")); err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, workOf(hello, 2))
	jobs := take(t, openQueue(t, s, hello), 1)
	if jobs[0].Execution != workOf(hello, 2).Execution {
		t.Errorf("took %s", jobs[0].Execution)
	}
	ack(t, jobs...)
}

// A question that went down with its server is not waited for: whoever looks for work then has to ask again.
func TestWaitingAcrossARestart(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	for number := range 2000 { // so that there is something to list
		enqueue(t, s, workOf(hello, number))
	}
	for range 10 {
		asked, asking := make(chan struct{}), make(chan struct{})
		var longest time.Duration
		go func() {
			defer close(asked)
			for {
				began := time.Now()
				_, err := s.Waiting(t.Context())
				longest = max(longest, time.Since(began))
				select {
				case <-asking:
					if err == nil {
						return
					}
				default:
				}
			}
		}()
		server.Stop(t)
		server.Resume(t)
		close(asking)
		<-asked
		if longest > 5*time.Second {
			t.Fatalf("Waiting took %v", longest)
		}
	}
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	var want []string
	for number := range 20 {
		app := stream.App{Org: fmt.Sprintf("org-%d", number%3), Name: fmt.Sprintf("app.%d", number)}
		want = append(want, app.String())
		enqueue(t, s, workOf(app, number), workOf(app, number+100))
	}
	apps, err := s.Waiting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, app := range apps {
		got = append(got, app.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("waiting are %v, want %v", got, want)
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	work := workOf(hello, 1)
	check := func(when string, want bool) {
		t.Helper()
		if waits, err := s.Waits(t.Context(), hello, work.Execution); err != nil || waits != want {
			t.Errorf("%s: it waits: %v, error %v", when, waits, err)
		}
	}
	check("before", false)
	enqueue(t, s, work, workOf(hello, 2))
	check("in the queue", true)
	q := openQueue(t, s, hello)
	jobs := take(t, q, 2)
	check("held", true)
	ack(t, jobs...)
	check("after its end", false)
	if _, err := s.Waits(t.Context(), hello, "exec.*"); !errors.Is(err, stream.ErrInvalid) {
		t.Errorf("of many: %v", err)
	}
}

func TestWakes(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	listener := openOn(t, stream.Options{Conn: server.Connect(t)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wakes, err := listener.Wakes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// The second falls into the interval of the first, and must be told of all the same.
	for number := range 2 {
		enqueue(t, s, workOf(hello, number))
		select {
		case app := <-wakes:
			if app != hello {
				t.Errorf("woke %s, want %s", app, hello)
			}
		case <-time.After(patience):
			t.Fatal("nobody was woken")
		}
	}
	cancel()
	for range wakes {
	}
}

// Many enqueues are few wakes.
func TestWakesAreFew(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	sub, err := server.Conn.SubscribeSync("ignite.wake.>")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for number := range 500 {
		enqueue(t, s, workOf(hello, number))
	}
	if err := server.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	limit := 2 + int(time.Since(began)/(100*time.Millisecond))
	if told, _, err := sub.Pending(); err != nil || told == 0 || told > limit {
		t.Errorf("500 enqueues were told %d times (%v), want 1 to %d", told, err, limit)
	}
}

func collect(jobs func(func(*stream.Job, error) bool)) ([]*stream.Job, error) {
	var all []*stream.Job
	for job, err := range jobs {
		if err != nil {
			return all, err
		}
		all = append(all, job)
	}
	return all, nil
}

func deleteConsumers(t *testing.T, conn *nats.Conn, streamName string) {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	work, err := js.Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	for name := range work.ConsumerNames(t.Context()).Name() {
		if err := work.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{Shards: 1})
	q := openQueue(t, s, hello)
	want := func(when string, empty bool) {
		t.Helper()
		if got, err := q.Empty(t.Context()); err != nil || got != empty {
			t.Errorf("%s it is empty: %t, %v; want %t", when, got, err, empty)
		}
	}
	want("at first", true)
	enqueue(t, s, workOf(stream.App{Org: "acme-corp", Name: "other"}, 2))
	want("with another app's work", true)
	enqueue(t, s, workOf(hello, 1))
	want("with work that waits", false)
	job := take(t, q, 1)[0]
	want("with work that is held", false)
	if err := job.Return(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	want("with work that was given back", false)
	deleteConsumers(t, server.Conn, "IGNITE_WORK_0")
	want("without its consumer, with work", false)
	ack(t, take(t, q, 1)...)
	want("after the acknowledgement", true)
	deleteConsumers(t, server.Conn, "IGNITE_WORK_0")
	want("without its consumer", true)
	enqueue(t, s, workOf(hello, 3))
	if err := s.Remove(t.Context(), hello, workOf(hello, 3).Execution); err != nil {
		t.Fatal(err)
	}
	want("after it was removed", true)
}

// A worker that stops while work comes, and whose connection ends at once, keeps nothing back for AckWait.
func TestCleanStopLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	const rounds, works = 20, 40
	s, server := open(t, stream.Options{AckWait: time.Hour})
	staying := openQueue(t, s, hello)
	for round := range rounds {
		conn := server.Connect(t)
		stopping, err := stream.Open(t.Context(), stream.Options{Conn: conn, AckWait: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		q := openQueue(t, stopping, hello)
		ctx, cancel := context.WithCancel(t.Context())
		var working sync.WaitGroup
		taken := make(chan struct{}, works)
		working.Go(func() {
			for job, err := range q.Take(ctx, works, patience) {
				if err == nil {
					err = job.Ack(t.Context())
				}
				if err != nil {
					t.Error(err)
					return
				}
				taken <- struct{}{}
			}
			if err := errors.Join(q.Close(), stopping.Close()); err != nil {
				t.Error(err)
			}
			conn.Close()
		})
		for number := range works {
			if number == works/2 {
				cancel()
			}
			enqueue(t, s, workOf(hello, round*works+number))
		}
		working.Wait()
		cancel()
		ack(t, take(t, staying, works-len(taken))...)
	}
}

// A wake tells others of work that was given back: they may have no queue open.
func TestReturnWakes(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	enqueue(t, s, workOf(hello, 1))
	job := take(t, openQueue(t, s, hello), 1)[0]
	wakes, err := openOn(t, stream.Options{Conn: server.Connect(t)}).Wakes(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Return(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if app := <-wakes; app != hello {
		t.Errorf("woke %q, want %q", app, hello)
	}
}
