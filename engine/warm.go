package engine

import (
	"container/list"
	"sync"
)

// warm bounds what frozen pods hold in memory, over all apps. Who has been frozen longest makes room for who comes.
type warm struct {
	most int64

	mu sync.Mutex
	// berths are in the order in which they were taken.
	berths list.List
	bytes  int64
}

// berth is one frozen pod's part of what there is.
type berth struct {
	bytes int64
	// out is closed when the pod must make room.
	out     chan struct{}
	element *list.Element
}

// take answers a berth for so many bytes, or nil if that is more than there ever is. Those that make room are told; they hold their
// memory until they are stopped, a moment longer.
func (w *warm) take(bytes int64) *berth {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bytes > w.most {
		return nil
	}
	for w.bytes+bytes > w.most {
		oldest := w.berths.Front().Value.(*berth)
		w.remove(oldest)
		close(oldest.out)
	}
	b := &berth{bytes: bytes, out: make(chan struct{})}
	b.element = w.berths.PushBack(b)
	w.bytes += bytes
	return b
}

// leave gives the berth back, if it is not taken away already.
func (w *warm) leave(b *berth) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(b)
}

func (w *warm) remove(b *berth) {
	if b.element != nil {
		w.berths.Remove(b.element)
		b.element = nil
		w.bytes -= b.bytes
	}
}
