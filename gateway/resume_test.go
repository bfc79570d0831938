package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/gateway"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// another is a second gateway on the same NATS, as another process would be.
func (s *setup) another(t testing.TB) *setup {
	t.Helper()
	other := &setup{nats: s.nats, store: s.store, stream: s.stream, pods: s.pods, log: s.log, key: s.key, config: s.config, stopped: make(chan struct{})}
	other.serve(t, must(gateway.New(s.config)))
	return other
}

func from(id string, attempt uint32, chunk int64) *ignitev1.WatchExecutionRequest {
	return &ignitev1.WatchExecutionRequest{ExecutionId: id, FromAttempt: attempt, FromChunk: chunk}
}

// A watcher who was cut off goes on elsewhere, while the execution runs and after its end.
func TestWatchIsResumedOnAnotherGateway(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := s.another(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	id := worker.record.ID
	worker.run()
	worker.write("a")
	worker.write("b")
	s.watch(t, id).want("RUNNING", "1.0 a", "1.1 b")
	resumed := other.watchFrom(t, from(id, 1, 2))
	resumed.want("RUNNING")
	worker.write("c")
	resumed.want("1.2 c")
	worker.complete("abc")
	resumed.want("COMPLETED abc", "end")
	for _, gateway := range []*setup{s, other} {
		gateway.watchFrom(t, from(id, 1, 1)).want("1.1 b", "1.2 c", "COMPLETED abc", "end")
		gateway.watchFrom(t, from(id, 0, 2)).want("1.2 c", "COMPLETED abc", "end")
		gateway.watchFrom(t, from(id, 1, 3)).want("COMPLETED abc", "end")
		gateway.watchFrom(t, from(id, 9, 9)).want("COMPLETED abc", "end")
	}
	_, err := must(s.client.WatchExecution(s.as(t, "acme"), from(id, 0, -1))).Recv()
	wantCode(t, err, codes.InvalidArgument, "from_chunk")
}

// Stored output of earlier attempts is told, in order, and so is that it counts no more.
func TestWatchTellsAttemptsApart(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	id := worker.record.ID
	live := s.watch(t, id)
	live.want("PENDING")
	worker.run()
	live.want("RUNNING")
	worker.write("a")
	worker.write("b")
	live.want("1.0 a", "1.1 b")
	worker.retry("POD_BROKEN")
	live.want("PENDING")
	late := s.watch(t, id)
	late.want("PENDING", "1.0 a", "1.1 b")
	worker.run()
	live.want("attempt 2", "RUNNING")
	late.want("attempt 2", "RUNNING")
	s.watch(t, id).want("RUNNING", "1.0 a", "1.1 b", "attempt 2")
	worker.write("c")
	live.want("2.0 c")
	late.want("2.0 c")
	s.watchFrom(t, from(id, 2, 0)).want("RUNNING", "2.0 c")
	worker.retry("POD_BROKEN")
	worker.run() // without output
	worker.complete("d")
	all := []string{"1.0 a", "1.1 b", "attempt 2", "2.0 c", "attempt 3", "COMPLETED d", "end"}
	s.watch(t, id).want(all...)
	s.watchFrom(t, from(id, 1, 1)).want(all[1:]...)
	s.watchFrom(t, from(id, 0, 5)).want("attempt 2", "2.0 c", "attempt 3", "COMPLETED d", "end")
	s.watchFrom(t, from(id, 2, 0)).want(all[3:]...)
	s.watchFrom(t, from(id, 3, 0)).want("COMPLETED d", "end")
	live.skip("PENDING", "RUNNING").want("attempt 3", "COMPLETED d", "end")
}

// skip passes over states that may or may not have lasted long enough to be told, and what is told of them.
func (w watched) skip(states ...string) *expected {
	return &expected{watched: w, skipped: states}
}

type expected struct {
	watched
	skipped []string
}

func (e *expected) want(words ...string) {
	e.t.Helper()
	for _, want := range words {
		got := e.next()
		for got != want {
			if !slices.Contains(e.skipped, got) {
				e.t.Fatalf("frame is %q, want %q", got, want)
			}
			got = e.next()
		}
	}
}

// What a worker still writes that does not know yet that another has its execution is no output.
func TestWatchDropsWhatAReplacedWorkerWrites(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	first := s.submitted(t)
	id := first.record.ID
	first.run()
	first.write("a")
	watch := s.watch(t, id)
	watch.want("RUNNING", "1.0 a")
	second := s.work(t, id)
	second.run() // takes it over
	watch.want("attempt 2", "RUNNING")
	first.write("stale")
	second.write("b")
	watch.want("2.0 b")
	second.complete("b")
	watch.want("COMPLETED b", "end")
}

// Whoever reads slowly gets everything all the same, and keeps nobody.
func TestSlowWatcherGetsEverything(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	slow, overHTTP := s.watch(t, worker.record.ID), s.do(t, "GET", "/v1/ignite/executions/"+worker.record.ID+"/watch", "")
	worker.run()
	const chunks = 200
	data := strings.Repeat("x", 64<<10) // more than what lies between us and them
	for range chunks {
		worker.write(data)
	}
	worker.complete("done")
	words := slow.skip("PENDING", "RUNNING")
	for i := range chunks {
		words.want(fmt.Sprintf("1.%d %s", i, data))
	}
	words.want("COMPLETED done", "end")
	lines := strings.Split(strings.TrimSpace(readAll(t, overHTTP)), "\n")
	if got := len(lines); got < chunks+2 || !strings.Contains(lines[got-1], "COMPLETED") {
		t.Errorf("%d lines came", got)
	}
}

func TestManyResumeAtDifferentPlaces(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	worker.run()
	const chunks = 100
	for i := range chunks {
		worker.write(fmt.Sprint(i))
	}
	worker.complete("done")
	var watching sync.WaitGroup
	for first := int64(0); first <= chunks; first += 7 {
		watching.Go(func() {
			if err := s.readFrom(t, worker.record.ID, first, chunks); err != nil {
				t.Errorf("from %d: %v", first, err)
			}
		})
	}
	watching.Wait()
}

func (s *setup) readFrom(t testing.TB, id string, next, end int64) error {
	watch := must(s.client.WatchExecution(s.as(t, "acme"), from(id, 1, next)))
	for {
		frame, err := watch.Recv()
		switch {
		case errors.Is(err, io.EOF) && next == end:
			return nil
		case err != nil:
			return err
		case frame.GetExecution() != nil:
		case frame.GetChunkIndex() != next:
			return fmt.Errorf("chunk %d instead of %d", frame.GetChunkIndex(), next)
		default:
			next++
		}
	}
}

// A cancellation ends the watch, after the output that there is.
func TestWatchEndsWithACancellation(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	worker.run()
	worker.write("a")
	watch := s.watch(t, worker.record.ID)
	watch.want("RUNNING", "1.0 a")
	s.cancel(t, worker.record.ID, "")
	watch.want("CANCELLED", "end")
	s.watch(t, worker.record.ID).want("1.0 a", "CANCELLED", "end")

	waits := s.submitted(t)
	watch = s.watch(t, waits.record.ID)
	watch.want("PENDING")
	s.cancel(t, waits.record.ID, "")
	watch.want("CANCELLED", "end")
}

// The first record of a watch that begins late says what is, and what it waits for.
func TestWatchTellsWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	worker := s.submitted(t)
	worker.run()
	worker.retry("POD_BROKEN")
	frame := must(s.watch(t, worker.record.ID).stream.Recv()).GetExecution()
	if frame.GetStatus() != pending || frame.GetError().GetCode() != "POD_BROKEN" || frame.GetDueAtMs() == 0 || frame.GetAppFailures() != 1 || frame.GetAttempt() != 1 {
		t.Errorf("the first record is %v", frame)
	}
	worker.update(func(e *store.Execution) { e.Status = store.Failed })
}
