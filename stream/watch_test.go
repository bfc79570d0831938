package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/stream"
)

const running = "exec_01JRUNNING"

func publish(t testing.TB, s *stream.Stream, attempt uint32, indexes ...int64) {
	t.Helper()
	for _, index := range indexes {
		if err := s.PublishChunk(t.Context(), chunkOf(attempt, index)); err != nil {
			t.Fatal(err)
		}
	}
}

func chunkOf(attempt uint32, index int64) stream.Chunk {
	return stream.Chunk{Execution: running, Attempt: attempt, Index: index, Data: fmt.Appendf(nil, "%d.%d", attempt, index)}
}

// tellRecord says that the record changed, as the store's bucket does.
func tellRecord(t testing.TB, conn *nats.Conn) {
	t.Helper()
	if err := conn.Publish("ignite.watch."+running+".state", nil); err != nil {
		t.Fatal(err)
	}
}

// seen is what a watcher has seen, for comparing.
func seen(e stream.Event) string {
	switch {
	case e.Record:
		return "record"
	case e.Settled:
		return "settled"
	default:
		return string(e.Chunk.Data)
	}
}

// watchUntil answers the events up to last, calling at for each.
func watchUntil(ctx context.Context, events func(func(stream.Event, error) bool), last string, at func(string)) ([]string, error) {
	var all []string
	for event, err := range events {
		if err != nil {
			return all, err
		}
		all = append(all, seen(event))
		if at != nil {
			at(seen(event))
		}
		if seen(event) == last {
			return all, nil
		}
	}
	return all, ctx.Err()
}

func wantEvents(t *testing.T, got []string, err error, want ...string) {
	t.Helper()
	if err != nil {
		t.Fatalf("watch ended with %v after %v", err, got)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("watched %v, want %v", got, want)
	}
}

func TestWatchStoredOutput(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	publish(t, s, 1, 0, 1, 2)
	ctx := within(t, patience)
	tests := map[string]struct {
		attempt uint32
		from    int64
		want    []string
	}{
		"from the first":         {0, 0, []string{"record", "1.0", "1.1", "1.2"}},
		"resumed":                {1, 2, []string{"record", "1.2"}},
		"resumed at any attempt": {0, 1, []string{"record", "1.1", "1.2"}},
	}
	for name, test := range tests {
		got, err := watchUntil(ctx, s.Watch(ctx, running, test.attempt, test.from), "1.2", nil)
		t.Log(name)
		wantEvents(t, got, err, test.want...)
	}
}

// Output that is stored between a change and the reading of the record must come before Settled.
func TestWatchSettlesAfterAllOutput(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	publish(t, s, 1, 0)
	ctx := within(t, patience)
	next := int64(1)
	changes := 0
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), "1.4", func(event string) {
		switch event {
		case "record":
			publish(t, s, 1, next)
			next++
		case "settled":
			if changes++; changes <= 2 {
				publish(t, s, 1, next)
				next++
				tellRecord(t, server.Conn)
			}
		}
	})
	wantEvents(t, got, err, "record", "1.0", "1.1", "settled", "1.2", "record", "1.3", "settled", "1.4")
}

func TestWatchLiveOutput(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	ctx := within(t, patience)
	settled, next := false, int64(0)
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), "1.99", func(event string) {
		if event == "settled" {
			settled = true
		}
		// Each chunk is published when the one before it was seen.
		if settled && next < 100 {
			publish(t, s, 1, next)
			next++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, got[2:], 1, 0, 100)
}

// wantInOrder fails unless the chunks in got are those of attempt from index `from` to below `to`, each once.
func wantInOrder(t testing.TB, got []string, attempt uint32, from, to int64) {
	t.Helper()
	next := from
	for _, event := range got {
		if event == "record" || event == "settled" {
			continue
		}
		if want := fmt.Sprintf("%d.%d", attempt, next); event != want {
			t.Errorf("watched %s, want %s", event, want)
			return
		}
		next++
	}
	if next != to {
		t.Errorf("watched up to chunk %d, want %d", next, to)
	}
}

func TestWatchNewAttempt(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	publish(t, s, 1, 0, 1)
	publish(t, s, 2, 0)
	publish(t, s, 1, 2) // from a worker that does not know yet
	publish(t, s, 2, 1)
	ctx := within(t, patience)
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), "2.1", func(event string) {
		if event == "2.0" {
			publish(t, s, 1, 3)
		}
	})
	wantEvents(t, got, err, "record", "1.0", "1.1", "2.0", "2.1")

	got, err = watchUntil(ctx, s.Watch(ctx, running, 2, 1), "2.1", nil)
	wantEvents(t, got, err, "record", "2.1")
}

// Output that is passed over belongs to the first attempt; those after it are whole.
func TestWatchFromAChunkOfTheFirstAttempt(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	publish(t, s, 1, 0, 1)
	ctx := within(t, patience)
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 5), "2.1", func(event string) {
		if event == "settled" {
			publish(t, s, 2, 0, 1)
		}
	})
	wantEvents(t, got, err, "record", "settled", "2.0", "2.1")

	got, err = watchUntil(ctx, s.Watch(ctx, running, 0, 1), "2.1", nil)
	wantEvents(t, got, err, "record", "1.1", "2.0", "2.1")
}

// The same when the first attempt begins while it is watched.
func TestWatchFromAChunkToCome(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	ctx := within(t, patience)
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 2), "2.0", func(event string) {
		if event == "settled" {
			publish(t, s, 1, 0, 1)
			publish(t, s, 2, 0)
		}
	})
	wantEvents(t, got, err, "record", "settled", "2.0")
}

func TestWatchNewAttemptLive(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	publish(t, s, 1, 0, 1)
	ctx := within(t, patience)
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), "2.1", func(event string) {
		if event == "settled" {
			publish(t, s, 2, 0)
			publish(t, s, 1, 2)
			publish(t, s, 2, 1)
		}
	})
	wantEvents(t, got, err, "record", "1.0", "1.1", "settled", "2.0", "2.1")
}

func TestWatchDropsRepetitions(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	publish(t, s, 1, 0, 0, 1, 0, 1)
	ctx := within(t, patience)
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), "1.2", func(event string) {
		if event == "settled" {
			publish(t, s, 1, 1, 0, 2)
		}
	})
	wantEvents(t, got, err, "record", "1.0", "1.1", "settled", "1.2")
}

func TestWatchSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	publish(t, s, 1, 0, 1, 2, 3)
	js, err := jetstream.New(server.Conn)
	if err != nil {
		t.Fatal(err)
	}
	output, err := js.Stream(t.Context(), "IGNITE_OUTPUT")
	if err != nil {
		t.Fatal(err)
	}
	if err := output.DeleteMsg(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, patience)
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), "1.3", nil)
	if !errors.Is(err, stream.ErrLost) {
		t.Fatalf("watch of output with a hole ended with %v, want ErrLost", err)
	}
	wantEvents(t, got, nil, "record", "1.0", "1.1")
}

func TestSlowWatcherMissesNothing(t *testing.T) {
	t.Parallel()
	const count = 400
	s, _ := open(t, stream.Options{})
	ctx := within(t, patience)
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), fmt.Sprintf("1.%d", count-1), func(event string) {
		if event != "settled" {
			return
		}
		// All is published while this reader does nothing: far more than is kept for it.
		for index := range int64(count) {
			publish(t, s, 1, index)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, got, 1, 0, count)
}

func TestWatchLargeChunks(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	large := bytes.Repeat([]byte{'x'}, stream.MaxChunk)
	ctx := within(t, patience)
	for index := range int64(3) {
		if err := s.PublishChunk(ctx, stream.Chunk{Execution: running, Attempt: 1, Index: index, Data: large}); err != nil {
			t.Fatal(err)
		}
	}
	read := 0
	for event, err := range s.Watch(ctx, running, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Chunk == nil {
			continue
		}
		if !bytes.Equal(event.Chunk.Data, large) {
			t.Errorf("chunk %d has %d bytes, want %d", event.Chunk.Index, len(event.Chunk.Data), len(large))
		}
		if read++; read == 3 {
			break
		}
	}
	err := s.PublishChunk(ctx, stream.Chunk{Execution: running, Attempt: 1, Index: 3, Data: append(large, 'x')})
	if !errors.Is(err, stream.ErrTooLarge) {
		t.Errorf("a chunk over the limit: %v, want ErrTooLarge", err)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := 0
	for _, err := range s.Watch(ctx, running, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if events++; events == 2 {
			cancel()
		}
	}
	if events != 2 {
		t.Errorf("watched %d events, want 2", events)
	}
}

func TestWatchEndsWithTheStream(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	ctx := within(t, patience)
	var closing sync.WaitGroup
	_, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), "never", func(event string) {
		if event == "settled" {
			closing.Go(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	})
	closing.Wait()
	if !errors.Is(err, stream.ErrClosed) {
		t.Errorf("watch ended with %v, want ErrClosed", err)
	}
}

func TestWatchRefusesWildcards(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	for _, execution := range []string{"", "*", ">", "a.b", "a b"} {
		_, err := watchUntil(t.Context(), s.Watch(t.Context(), execution, 0, 0), "never", nil)
		if !errors.Is(err, stream.ErrInvalid) {
			t.Errorf("watch of %q ended with %v, want ErrInvalid", execution, err)
		}
	}
}

func TestWatchAcrossRestart(t *testing.T) {
	t.Parallel()
	const count = 50
	s, server := open(t, stream.Options{})
	publish(t, s, 1, 0)
	ctx := within(t, patience)
	var restarting sync.WaitGroup
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), fmt.Sprintf("1.%d", count-1), func(event string) {
		if event != "1.0" {
			return
		}
		restarting.Go(func() {
			server.Restart(t)
			// Another connection is back sooner than the watcher's, so that some of it is stored while the watcher is away.
			other := openOn(t, stream.Options{Conn: server.Connect(t)})
			for index := range int64(count - 1) {
				publish(t, other, 1, index+1)
			}
		})
	})
	restarting.Wait()
	if err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, got, 1, 0, count)
}

func TestManyWatchersOfOneExecution(t *testing.T) {
	t.Parallel()
	const watchers, count = 2000, 20
	s, server := open(t, stream.Options{})
	ctx := within(t, 2*patience)
	var caughtUp atomic.Int64
	all := make(chan struct{})
	var watching sync.WaitGroup
	for range watchers {
		watching.Go(func() {
			got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), fmt.Sprintf("1.%d", count-1), func(event string) {
				if event == "settled" && caughtUp.Add(1) == watchers {
					close(all)
				}
			})
			if err != nil {
				t.Error(err)
				return
			}
			wantInOrder(t, got, 1, 0, count)
		})
	}
	<-all
	wantNoConsumers(t, server.Conn)
	for index := range int64(count) {
		publish(t, s, 1, index)
	}
	watching.Wait()
}

func wantNoConsumers(t *testing.T, conn *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for info := range js.ListStreams(t.Context()).Info() {
		if info.State.Consumers != 0 {
			t.Errorf("stream %s has %d consumers, want none", info.Config.Name, info.State.Consumers)
		}
	}
}
