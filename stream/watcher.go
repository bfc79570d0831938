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
//	          hub: gap, full, record, lapse
//	following ─────────────────────────────► stale
//	    ▲                                      │ reader: collect
//	    └──── reader: settled, not stale ─── reading ◄─┐
//	                                           └───────┘ hub: anything that was not read yet
type watcher struct {
	execution string
	// woken holds a token when there is something to collect.
	woken chan struct{}

	mu sync.Mutex
	// at is the chunk that is wanted next, last the place in the stream of the one before.
	at   position
	last uint64
	// ready was handed over and waits for the reader.
	ready []*Chunk
	bytes int
	// stale says that the stream has to be read, reading that the reader is doing so.
	stale, reading bool
	// record says that the reader has to be told to read the record.
	record bool
}

// newWatcher begins stale: what is stored already has to be read.
func newWatcher(execution string, from position) *watcher {
	return &watcher{execution: execution, woken: make(chan struct{}, 1), at: from, stale: true, record: true}
}

// hear takes what the hub heard.
func (w *watcher) hear(heard stored) {
	w.mu.Lock()
	defer w.mu.Unlock()
	place := w.at.of(heard.chunk)
	switch {
	case place == before:
		return
	case place == wanted && !w.stale && !w.reading && w.room(heard.chunk):
		w.ready = append(w.ready, heard.chunk)
		w.bytes += len(heard.chunk.Data)
		w.advance(heard)
	default:
		w.stale = true
	}
	w.wake()
}

func (w *watcher) room(chunk *Chunk) bool {
	return len(w.ready) == 0 || len(w.ready) < readyChunks && w.bytes+len(chunk.Data) <= readyBytes
}

func (w *watcher) advance(to stored) {
	w.at = position{attempt: to.chunk.Attempt, index: to.chunk.Index + 1}
	w.last = to.sequence
}

// lapse makes the reader read the stream and then the record.
func (w *watcher) lapse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale, w.record = true, true
	w.wake()
}

func (w *watcher) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// collect answers what was handed over, and whether the stream has to be read. If so the hub hands over nothing
// until settled.
func (w *watcher) collect() (ready []*Chunk, stale bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ready, stale = w.ready, w.stale
	w.ready, w.bytes = nil, 0
	w.reading, w.stale = w.stale, false
	return ready, stale
}

// settled ends reading if nothing came that was not read.
func (w *watcher) settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading = false
	return !w.stale && len(w.ready) == 0
}

// postpone ends reading that got no answer.
func (w *watcher) postpone() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading, w.stale = false, true
}

// takeRecord is asked after the stream was read: a record that changes from here on is told of again.
func (w *watcher) takeRecord() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	record := w.record
	w.record = false
	return record
}

func (w *watcher) sequence() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// read takes a chunk from the stream and reports whether the reader has not had it.
func (w *watcher) read(chunk stored) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
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

// position is the chunk that is wanted next. Attempt 0 is whichever comes.
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
