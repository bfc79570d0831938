package stream

import (
	"testing"

	"dodil.io/ignite/stream/streamtest"
)

// Whoever watches reads the record before anything else: it says whether they may have the output.
func TestWatchBeginsWithTheRecordWhateverIsHeardFirst(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, err := Open(t.Context(), Options{Conn: server.Conn})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	chunk := Chunk{Execution: "exec_1", Attempt: 1, Data: []byte("secret")}
	if err := s.PublishChunk(t.Context(), chunk); err != nil {
		t.Fatal(err)
	}
	w := newWatcher(chunk.Execution, position{})
	w.hear(stored{&chunk, 1}) // between the beginning of the subscription and the first reading
	var events []Event
	err = s.follow(t.Context(), w, func(e Event) bool {
		events = append(events, e)
		return !e.Settled
	})
	if len(events) != 3 || !events[0].Record || events[1].Chunk == nil || !events[2].Settled {
		t.Errorf("events are %+v, then %v; want the record, its chunk, settled", events, err)
	}
}
