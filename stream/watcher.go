package stream

import (
	"fmt"
	"sync"
)

const (
	// readyChunks and readyBytes bound what is handed over to a reader that is slow; beyond them it is served from
	// the stream. A single chunk is handed over whatever its size.
	readyChunks = 32
	readyBytes  = 64 << 10
)

// watcher is what the hub and one reader share. The hub hands over a chunk in memory only if it is exactly the next one and
// the reader is not reading from the stream; whatever else it hears only makes the watcher stale.
//
//	following ──hub: gap, full, lapse──► stale ──reader: collect──► reading
//	    ▲  └───────hub: change, lapse──► record ─┘                  │  ▲ │
//	    └───────────────reader: settled, nothing new────────────────┘  └─┘ hub: what was not read yet
type watcher struct {
	execution string
	// woken holds a token when there is something to collect.
	woken chan struct{}

	mu sync.Mutex
	// at is the chunk that is wanted next, last the place in the stream up to which all was read.
	at   position
	last uint64
	// sought says that last was set where reading begins, jumped that this is not the beginning of the stream.
	sought, jumped bool
	// ready was handed over and waits for the reader.
	ready []*Chunk
	bytes int
	// stale says that the stream has to be read before what follows can be handed over, record that the
	// reader has to be told to read the record, reading that it reads the stream.
	stale, record, reading bool
}

// newWatcher begins with the record; what is stored already is read after it.
func newWatcher(execution string, from position) *watcher {
	return &watcher{execution: execution, woken: make(chan struct{}, 1), at: from, record: true}
}

// hear takes what the hub heard.
func (w *watcher) hear(heard stored) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.behind() {
		w.enter(heard.chunk)
	}
	place := w.at.of(heard.chunk)
	switch {
	case place == before && w.at.attempt > 0:
		return
	case place == wanted && !w.behind() && w.room(heard.chunk):
		w.ready = append(w.ready, heard.chunk)
		w.bytes += len(heard.chunk.Data)
		w.advance(heard)
	default:
		w.stale = true
	}
	w.wake()
}

// enter makes the first attempt that is seen the one that is followed, if none was asked for.
func (w *watcher) enter(chunk *Chunk) {
	if w.at.attempt == 0 {
		w.at.attempt = chunk.Attempt
	}
}

func (w *watcher) room(chunk *Chunk) bool {
	return len(w.ready) == 0 || len(w.ready) < readyChunks && w.bytes+len(chunk.Data) <= readyBytes
}

func (w *watcher) advance(to stored) {
	w.at = position{attempt: to.chunk.Attempt, index: to.chunk.Index + 1}
	w.last = to.sequence
}

// behind reports whether the reader has to read the stream, or does.
func (w *watcher) behind() bool { return w.stale || w.record || w.reading }

// change makes the reader read the record, and then the stream.
func (w *watcher) change() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record = true
	w.wake()
}

// lapse makes the reader read everything, because something was missed.
func (w *watcher) lapse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale, w.record = true, true
	w.wake()
}

func (w *watcher) wake() { notify(w.woken) }

// news is what a watcher's reader has not seen yet.
type news struct {
	ready         []*Chunk
	stale, record bool
}

// collect takes the news. If they say to read the stream, the hub hands over nothing until settled.
func (w *watcher) collect() news {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := news{ready: w.ready, stale: w.stale, record: w.record}
	w.reading = w.stale || w.record
	w.ready, w.bytes, w.stale, w.record = nil, 0, false, false
	return n
}

// settled ends reading and reports whether nothing came that was not read.
func (w *watcher) settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading = false
	return !w.stale && !w.record && len(w.ready) == 0
}

// postpone ends reading that got no answer; all of it is to be done again, the record too, as its Settled is owed.
func (w *watcher) postpone() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading, w.stale, w.record = false, true, true
}

func (w *watcher) sequence() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// seek reports where the reader wants to begin, unless that was asked already.
func (w *watcher) seek() (from position, wanted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wanted = !w.sought && w.at != position{}
	return w.at, wanted
}

// begin lets reading begin after a place in the stream.
func (w *watcher) begin(from position, after uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sought, w.jumped = true, after > 0
	w.at, w.last = from, after
}

// rewind lets reading begin with the first chunk, and reports whether it did not before.
func (w *watcher) rewind() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	jumped := w.jumped
	if jumped {
		w.jumped, w.last = false, 0
	}
	return jumped
}

// read takes a chunk from the stream and reports whether the reader has not had it.
func (w *watcher) read(chunk stored) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enter(chunk.chunk)
	switch w.at.of(chunk.chunk) {
	case before:
		w.last = chunk.sequence
		return false, nil
	case beyond:
		return false, fmt.Errorf("%w: chunk %d of attempt %d follows %d of attempt %d", ErrLost,
			chunk.chunk.Index, chunk.chunk.Attempt, w.at.index, w.at.attempt)
	default:
		w.advance(chunk)
		return true, nil
	}
}

// position is the chunk that is wanted next. Attempt 0 is the first of which anything is stored.
type position struct {
	attempt uint32
	index   int64
}

// place is where a chunk is, seen from a position.
type place int

const (
	// before is what was had, or belongs to an attempt that a newer one replaced.
	before place = iota
	wanted
	// beyond is what must not be had yet.
	beyond
)

func (p position) of(chunk *Chunk) place {
	index := p.index
	switch {
	case chunk.Attempt < p.attempt:
		return before
	case chunk.Attempt > p.attempt && p.attempt > 0:
		index = 0
	}
	switch {
	case chunk.Index < index:
		return before
	case chunk.Index == index:
		return wanted
	default:
		return beyond
	}
}
