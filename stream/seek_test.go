package stream

import (
	"fmt"
	"testing"

	"dodil.io/ignite/stream/streamtest"
)

// Whoever resumes reads less than a batch that it does not want, however the output lies among that of others.
func TestSeekIsNear(t *testing.T) {
	t.Parallel()
	const count = 2000
	layouts := map[string]func(index int64) int{
		"alone":              func(int64) int { return 0 },
		"among others":       func(int64) int { return 1 },
		"slow at first":      func(index int64) int { return max(0, 40-int(index)) },
		"one burst, a pause": func(index int64) int { return 3000 * max(0, 1-int(max(index-1000, 1000-index))) },
	}
	for name, others := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStream(t)
			for index := range int64(count) {
				publishChunk(t, s, "exec_1", index)
				for other := range others(index) {
					publishChunk(t, s, fmt.Sprintf("other_%d", other), index)
				}
			}
			for _, want := range []int64{1, 2, 63, 64, 65, 700, 999, 1000, 1001, 1500, count - 2, count - 1} {
				_, after, err := s.seek(t.Context(), "exec_1", position{1, want})
				if err != nil {
					t.Fatal(err)
				}
				first, found, err := s.reader.first(t.Context(), "exec_1", 1, after+1)
				if err != nil || !found {
					t.Fatalf("after place %d there is nothing: %v", after, err)
				}
				if got := first.chunk.Index; got > want || got < want-readChunks {
					t.Errorf("reading of chunk %d begins with %d", want, got)
				}
			}
			if _, after, err := s.seek(t.Context(), "exec_1", position{1, count}); err != nil || after == 0 {
				t.Errorf("after the last chunk reading begins after %d, %v", after, err)
			}
		})
	}
}

// A chunk that was stored before the place that was found is not lost.
func TestSeekThatMissesBeginsAgain(t *testing.T) {
	t.Parallel()
	s := openStream(t)
	// No worker stores them so.
	for _, index := range []int64{0, 1, 2, 3, 1, 2} {
		publishChunk(t, s, "exec_1", index)
	}
	publishChunk(t, s, "exec_1", 4)
	var got []int64
	for event, err := range s.Watch(t.Context(), "exec_1", 1, 3) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Chunk != nil {
			got = append(got, event.Chunk.Index)
		}
		if event.Settled {
			break
		}
	}
	if fmt.Sprint(got) != "[3 4]" {
		t.Errorf("watched %v, want 3 and 4", got)
	}
}

func openStream(t *testing.T) *Stream {
	t.Helper()
	s, err := Open(t.Context(), Options{Conn: streamtest.Start(t).Conn})
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

func publishChunk(t *testing.T, s *Stream, execution string, index int64) {
	t.Helper()
	if err := s.PublishChunk(t.Context(), Chunk{Execution: execution, Attempt: 1, Index: index}); err != nil {
		t.Fatal(err)
	}
}
