package stream

import (
	"context"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
)

// heardAtOnce bounds the messages that the hub holds. More at once are dropped by the connection, and then every watcher
// reads again.
const heardAtOnce = 1024

// hub hears for all watchers of this process. Each execution that is watched has one core subscription, however many
// watch it, and all of them end in one channel that one goroutine reads: a watcher costs no goroutine here.
type hub struct {
	conn  *nats.Conn
	heard chan *nats.Msg

	mu    sync.Mutex
	feeds map[string]*feed
}

// feed is one execution that is watched.
type feed struct {
	sub      *nats.Subscription
	watchers []*watcher
}

func newHub(conn *nats.Conn) *hub {
	return &hub{conn: conn, heard: make(chan *nats.Msg, heardAtOnce), feeds: make(map[string]*feed)}
}

// add lets w hear of its execution. On return the server knows of it, unless the connection is away; then all
// watchers read again when it is back.
func (h *hub) add(ctx context.Context, w *watcher) error {
	if err := h.enter(w); err != nil {
		return translate(ctx, err)
	}
	if err := settle(ctx, h.conn); err != nil {
		h.remove(w)
		return err
	}
	return nil
}

// settle returns once the server knows of the subscriptions made so far, unless the connection is away: then it
// will be told of them first of all. The only error is the end of ctx.
func settle(ctx context.Context, conn *nats.Conn) error {
	if !conn.IsConnected() {
		return nil
	}
	waiting, done := bounded(ctx)
	defer done()
	if err := conn.FlushWithContext(waiting); err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (h *hub) enter(w *watcher) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.feeds[w.execution]
	if !ok {
		sub, err := h.conn.ChanSubscribe(watchSubjects(w.execution), h.heard)
		if err != nil {
			return err
		}
		f = &feed{sub: sub}
		h.feeds[w.execution] = f
	}
	f.watchers = append(f.watchers, w)
	return nil
}

// remove ends the subscription with its last watcher; an error means that the connection ended it before.
func (h *hub) remove(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[w.execution]
	if i := slices.Index(f.watchers, w); i >= 0 {
		f.watchers = slices.Delete(f.watchers, i, i+1)
	}
	if len(f.watchers) == 0 {
		delete(h.feeds, w.execution)
		_ = f.sub.Unsubscribe()
	}
}

func (h *hub) run(closing <-chan struct{}) {
	for {
		select {
		case message := <-h.heard:
			h.dispatch(message)
			if len(h.heard) >= cap(h.heard)-1 {
				h.overflow()
			}
		case <-closing:
			return
		}
	}
}

// dispatch tells the watchers of one execution what happened.
func (h *hub) dispatch(message *nats.Msg) {
	execution, attempt, output, ok := parseWatch(message.Subject)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.feeds[execution]
	if !ok {
		return
	}
	if !output {
		f.each((*watcher).change)
		return
	}
	chunk, err := parseStored(execution, attempt, message.Header, message.Data)
	if err != nil {
		f.each((*watcher).lapse)
		return
	}
	f.each(func(w *watcher) { w.hear(chunk) })
}

// overflow gives up what was heard: the connection dropped what the full channel had no room for, and nobody knows whose it was.
func (h *hub) overflow() {
	for len(h.heard) > 0 {
		<-h.heard
	}
	h.lapse()
}

// lapse makes every watcher read again, because something may have been missed.
func (h *hub) lapse() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.feeds {
		f.each((*watcher).lapse)
	}
}

func (f *feed) each(tell func(*watcher)) {
	for _, w := range f.watchers {
		tell(w)
	}
}
