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

	mu sync.Mutex
	// feeds are known by the subjects that they hear.
	feeds map[string]*feed
}

// feed is what is heard of one execution.
type feed struct {
	sub     *nats.Subscription
	hearers []hearer
}

// hearer is told what the hub hears, under the hub's lock: it must not wait.
type hearer interface {
	// change says that the record changed.
	change()
	// hear brings a chunk that was stored.
	hear(stored)
	// lapse says that something may have been missed.
	lapse()
}

func newHub(conn *nats.Conn) *hub {
	return &hub{conn: conn, heard: make(chan *nats.Msg, heardAtOnce), feeds: make(map[string]*feed)}
}

// add lets l hear of subjects, which are one execution's, until leave. On return the server knows of it, unless the connection is away; then
// all hearers are told of a lapse when it is back.
func (h *hub) add(ctx context.Context, subjects string, l hearer) (leave func(), err error) {
	if err := h.enter(subjects, l); err != nil {
		return nil, translate(ctx, err)
	}
	leave = func() { h.leave(subjects, l) }
	if err := settle(ctx, h.conn); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
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

func (h *hub) enter(subjects string, l hearer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.feeds[subjects]
	if !ok {
		sub, err := h.conn.ChanSubscribe(subjects, h.heard)
		if err != nil {
			return err
		}
		f = &feed{sub: sub}
		h.feeds[subjects] = f
	}
	f.hearers = append(f.hearers, l)
	return nil
}

// leave ends the subscription with its last hearer; an error means that the connection ended it before.
func (h *hub) leave(subjects string, l hearer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[subjects]
	if i := slices.Index(f.hearers, l); i >= 0 {
		f.hearers = slices.Delete(f.hearers, i, i+1)
	}
	if len(f.hearers) == 0 {
		delete(h.feeds, subjects)
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

// dispatch tells those who hear of one execution what happened.
func (h *hub) dispatch(message *nats.Msg) {
	execution, attempt, output, ok := parseWatch(message.Subject)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.feeds[message.Sub.Subject]
	if !ok {
		return
	}
	if !output {
		f.each(hearer.change)
		return
	}
	chunk, err := parseStored(execution, attempt, message.Header, message.Data)
	if err != nil {
		f.each(hearer.lapse)
		return
	}
	f.each(func(l hearer) { l.hear(chunk) })
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
		f.each(hearer.lapse)
	}
}

func (f *feed) each(tell func(hearer)) {
	for _, l := range f.hearers {
		tell(l)
	}
}
