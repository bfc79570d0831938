package stream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// wakeInterval is how often at most a process says that an app has work.
	wakeInterval = 100 * time.Millisecond
	// maxWoken bounds the apps that wait for a slow reader of Wakes.
	maxWoken = 1 << 16
)

// waker says on a core subject that an app has work: at once, and then at most once an interval. A wake that
// falls into the interval is sent at its end, because the workers may just have found the queue empty.
type waker struct {
	conn *nats.Conn
	// begun tells run that recent is no longer empty.
	begun chan struct{}

	mu sync.Mutex
	// recent holds the apps that were told of in this interval, and whether there is more to tell.
	recent map[App]bool
}

func newWaker(conn *nats.Conn) *waker {
	return &waker{conn: conn, begun: make(chan struct{}, 1), recent: make(map[App]bool)}
}

func (w *waker) wake(app App) {
	if !w.first(app) {
		return
	}
	w.send(app)
	select {
	case w.begun <- struct{}{}:
	default:
	}
}

func (w *waker) first(app App) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, told := w.recent[app]
	w.recent[app] = told
	return !told
}

// send drops the error: a wake is a hint, and Waiting finds what it does not reach.
func (w *waker) send(app App) { _ = w.conn.Publish(wakeSubject(app), nil) }

func (w *waker) run(closing <-chan struct{}) {
	for {
		select {
		case <-w.begun:
			w.tick(closing)
		case <-closing:
			return
		}
	}
}

// tick ends intervals until an app was not enqueued in one.
func (w *waker) tick(closing <-chan struct{}) {
	ticker := time.NewTicker(wakeInterval)
	defer ticker.Stop()
	for !w.idle() {
		select {
		case <-ticker.C:
			for _, app := range w.turn() {
				w.send(app)
			}
		case <-closing:
			return
		}
	}
}

func (w *waker) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.recent) == 0
}

// turn begins the next interval and answers the apps that are due.
func (w *waker) turn() []App {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []App
	for app, more := range w.recent {
		if more {
			due = append(due, app)
			w.recent[app] = false
		} else {
			delete(w.recent, app)
		}
	}
	return due
}

// Wakes answers apps as work for them is enqueued anywhere, without promise: what it misses Waiting finds. The
// channel is closed when ctx ends. An app that is enqueued often is sent a few times a second, and an app that
// was not yet received is not sent twice.
func (s *Stream) Wakes(ctx context.Context) (<-chan App, error) {
	heard := make(chan *nats.Msg, 1024)
	sub, err := s.conn.ChanSubscribe(allWakes, heard)
	if err != nil {
		return nil, translate(ctx, err)
	}
	woken := make(chan App)
	err = s.start(func() {
		defer close(woken)
		s.forwardWakes(ctx, heard, woken)
		_ = sub.Unsubscribe()
	})
	if err != nil {
		_ = sub.Unsubscribe()
		return nil, err
	}
	return woken, settle(ctx, s.conn)
}

func (s *Stream) forwardWakes(ctx context.Context, heard <-chan *nats.Msg, woken chan<- App) {
	var waiting wakeList
	for {
		next, out := waiting.front(woken)
		select {
		case message := <-heard:
			if app, err := parseWake(message.Subject); err == nil {
				waiting.add(app)
			}
		case out <- next:
			waiting.remove()
		case <-ctx.Done():
			return
		case <-s.closing:
			return
		}
	}
}

// wakeList holds each app once, in the order in which they woke.
type wakeList struct {
	order []App
	known map[App]struct{}
}

func (l *wakeList) add(app App) {
	if _, known := l.known[app]; known || len(l.order) == maxWoken {
		return
	}
	if l.known == nil {
		l.known = make(map[App]struct{})
	}
	l.known[app] = struct{}{}
	l.order = append(l.order, app)
}

// front answers the first app and out, or a channel that nothing can be sent on if there is none.
func (l *wakeList) front(out chan<- App) (App, chan<- App) {
	if len(l.order) == 0 {
		return App{}, nil
	}
	return l.order[0], out
}

func (l *wakeList) remove() {
	delete(l.known, l.order[0])
	l.order = l.order[1:]
}
