package stream_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/stream"
)

// place is a chunk's attempt and index.
type place struct {
	attempt uint32
	index   int64
}

// attempts publishes output of three attempts: of the first a little, of the third much, and then that of the fourth, while the third's
// worker does not know yet that it was replaced. It answers what a watcher gets of it.
func attempts(t testing.TB, s *stream.Stream) []place {
	t.Helper()
	var want []place
	store := func(attempt uint32, from, to int64) {
		for index := from; index < to; index++ {
			publish(t, s, attempt, index)
			want = append(want, place{attempt, index})
		}
	}
	store(1, 0, 5)
	store(3, 0, 150)
	store(4, 0, 2)
	publish(t, s, 3, 150, 151, 152)
	store(4, 2, 10)
	return want
}

func TestResumeFromEveryChunk(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	want := attempts(t, s)
	for i, from := range want {
		wantResumed(t, s, from, want[i:])
	}
	server.Restart(t)
	again := openOn(t, stream.Options{Conn: server.Connect(t)})
	for i, from := range want {
		if i%7 == 0 || i < 6 || i > 150 {
			wantResumed(t, again, from, want[i:])
		}
	}
	of := func(attempt uint32) []place {
		return slices.DeleteFunc(slices.Clone(want), func(p place) bool { return p.attempt < attempt })
	}
	wantResumed(t, again, place{0, 0}, want)
	wantResumed(t, again, place{0, 3}, want[3:])
	wantResumed(t, again, place{1, 5}, of(3))   // the first attempt ended there
	wantResumed(t, again, place{1, 9}, of(3))   // it never came so far
	wantResumed(t, again, place{2, 0}, of(3))   // it had no output
	wantResumed(t, again, place{2, 7}, of(3))   // it had no output
	wantResumed(t, again, place{3, 150}, of(4)) // what was stored after the fourth began does not count
	wantResumed(t, again, place{3, 152}, of(4))
	wantResumed(t, again, place{3, 500}, of(4))
}

// wantResumed watches from a place until the last of want.
func wantResumed(t *testing.T, s *stream.Stream, from place, want []place) {
	t.Helper()
	last := want[len(want)-1]
	ctx := within(t, patience)
	got, err := watchUntil(ctx, s.Watch(ctx, running, from.attempt, from.index), fmt.Sprintf("%d.%d", last.attempt, last.index), nil)
	expect := []string{"record"}
	for _, p := range want {
		expect = append(expect, fmt.Sprintf("%d.%d", p.attempt, p.index))
	}
	if err != nil || !slices.Equal(got, expect) {
		t.Errorf("from %v: watched %v, %v; want %v", from, got, err, expect)
	}
}

// What is asked for is waited for.
func TestResumeBeyondTheEnd(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		from place
		then []place
		want []string
	}{
		"at the edge":                    {place{1, 5}, []place{{1, 5}}, []string{"1.5"}},
		"later in the attempt":           {place{1, 7}, []place{{1, 5}, {1, 6}, {1, 7}, {1, 8}}, []string{"1.7", "1.8"}},
		"in any attempt":                 {place{0, 6}, []place{{1, 5}, {1, 6}, {2, 0}}, []string{"1.6", "2.0"}},
		"another attempt comes first":    {place{1, 7}, []place{{1, 5}, {2, 0}, {2, 1}}, []string{"2.0", "2.1"}},
		"of the next attempt":            {place{2, 1}, []place{{1, 5}, {2, 0}, {2, 1}}, []string{"2.1"}},
		"of an attempt that has nothing": {place{2, 1}, []place{{3, 0}, {3, 1}}, []string{"3.0", "3.1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := open(t, stream.Options{})
			publish(t, s, 1, 0, 1, 2, 3, 4)
			ctx := within(t, patience)
			got, err := watchUntil(ctx, s.Watch(ctx, running, test.from.attempt, test.from.index), test.want[len(test.want)-1], func(event string) {
				if event != "settled" {
					return
				}
				for _, p := range test.then {
					publish(t, s, p.attempt, p.index)
				}
			})
			wantEvents(t, got, err, append([]string{"record", "settled"}, test.want...)...)
		})
	}
}

func TestResumeAfterOutputWasDropped(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	want := attempts(t, s)
	purgeOutput(t, server.Conn, 6+50) // the first attempt, and fifty chunks of the third
	lost := []place{{0, 0}, {1, 0}, {1, 4}, {3, 0}, {3, 49}}
	for _, from := range lost {
		ctx := within(t, patience)
		got, err := watchUntil(ctx, s.Watch(ctx, running, from.attempt, from.index), "4.9", nil)
		if !errors.Is(err, stream.ErrLost) {
			t.Errorf("from %v: watched %v, %v; want ErrLost", from, got, err)
		}
	}
	for i, from := range want {
		if i >= 5+50 {
			wantResumed(t, s, from, want[i:])
		}
	}
}

// purgeOutput drops all that is stored before a sequence.
func purgeOutput(t *testing.T, conn *nats.Conn, sequence uint64) {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	output, err := js.Stream(t.Context(), "IGNITE_OUTPUT")
	if err != nil {
		t.Fatal(err)
	}
	if err := output.Purge(t.Context(), jetstream.WithPurgeSequence(sequence)); err != nil {
		t.Fatal(err)
	}
}

func TestSlowWatcherAcrossAttempts(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	ctx := within(t, patience)
	var want []place
	got, err := watchUntil(ctx, s.Watch(ctx, running, 0, 0), "4.9", func(event string) {
		if event == "settled" && want == nil {
			want = attempts(t, s) // while this reader does nothing
		}
	})
	expect := []string{"record", "settled"}
	for _, p := range want {
		expect = append(expect, fmt.Sprintf("%d.%d", p.attempt, p.index))
	}
	wantEvents(t, got, err, expect...)
}

func TestOutputExpires(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{Retention: 1100 * time.Millisecond})
	began := time.Now()
	publish(t, s, 1, 0)
	long, short := chunkOf(2, 0), chunkOf(3, 0)
	long.Expires, short.Expires = began.Add(time.Hour), began.Add(1500*time.Millisecond)
	for _, chunk := range []stream.Chunk{long, short} {
		if err := s.PublishChunk(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "two of three chunks are gone", func() bool { return outputMessages(t, server.Conn) == 1 })
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("gone after %s, too early", took)
	}
	wantResumed(t, s, place{0, 0}, []place{{2, 0}})
}

func outputMessages(t *testing.T, conn *nats.Conn) uint64 {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	output, err := js.Stream(t.Context(), "IGNITE_OUTPUT")
	if err != nil {
		t.Fatal(err)
	}
	return output.CachedInfo().State.Msgs
}
