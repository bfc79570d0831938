package engine

import (
	"container/list"

	"dodil.io/ignite/engine/pod"
)

// defaultSlots is the number of calls that a pod takes at once when its app does not say.
const defaultSlots = 80

// waiter is a call that waits for a slot. Whoever gives it one, or an error, sets the fields and closes ready.
type waiter struct {
	ready  chan struct{}
	on     *instance
	err    error
	origin origin
	// held is how many bytes of it are in memory.
	held int64
	// cold says that no pod served when the call came.
	cold bool
}

// origin says where a call comes from.
type origin int

const (
	// direct is a call whose caller waits for the answer.
	direct origin = iota
	// queued is a call of queued work: its taker counts it until it has a slot.
	queued
)

// line is the calls that wait, in the order in which they came. It is not for concurrent use.
type line struct {
	// own are the places of the app, all those of the process.
	own, all *places
	calls    list.List
	place    map[*waiter]*list.Element
	// from counts them.
	from [queued + 1]int
}

// join puts a new call at the end, or answers pod.ErrBusy if there is no place for it.
func (l *line) join(from origin, held int64, cold bool) (*waiter, error) {
	if !l.own.take(held) {
		return nil, pod.ErrBusy
	}
	if !l.all.take(held) {
		l.own.giveBack(held)
		return nil, pod.ErrBusy
	}
	w := &waiter{ready: make(chan struct{}), origin: from, held: held, cold: cold}
	l.from[from]++
	if l.place == nil {
		l.place = make(map[*waiter]*list.Element)
	}
	l.place[w] = l.calls.PushBack(w)
	return w, nil
}

// leave takes a call out that does not want to wait any longer; false if it does not wait any longer anyway.
func (l *line) leave(w *waiter) bool {
	element, waits := l.place[w]
	if waits {
		l.calls.Remove(element)
		delete(l.place, w)
		l.from[w.origin]--
		l.own.giveBack(w.held)
		l.all.giveBack(w.held)
	}
	return waits
}

// serve gives the first call a slot of i.
func (l *line) serve(i *instance) {
	w := l.calls.Front().Value.(*waiter)
	l.leave(w)
	w.on = i
	close(w.ready)
}

// refuse gives every call err.
func (l *line) refuse(err error) {
	for l.length() > 0 {
		w := l.calls.Front().Value.(*waiter)
		l.leave(w)
		w.err = err
		close(w.ready)
	}
}

func (l *line) length() int { return l.calls.Len() }
