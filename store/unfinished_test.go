package store

import (
	"testing"
)

// More than a call answers are answered by several, and then from the beginning again.
func TestUnfinishedInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 50 {
		w.create()
	}
	w.compare()
	const most = 7
	for range 2 {
		times := map[string]int{}
		for left := len(w.records); left > 0; {
			part := w.reads.index.unfinished(lastULID, most)
			if want := min(left, most); len(part) != want {
				t.Fatalf("a part has %d records, want %d", len(part), want)
			}
			for _, e := range part {
				times[e.ID]++
			}
			left -= len(part)
		}
		for _, e := range w.records {
			if times[e.ID] != 1 {
				t.Errorf("%s was answered %d times on a way round", e.ID, times[e.ID])
			}
		}
	}
}
