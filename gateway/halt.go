package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// finishTime is how long what was begun may go on after its caller left, so that nothing stays half done.
const finishTime = 30 * time.Second

// finishing is a context that outlives the caller.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), finishTime)
}

// halt ends calls that would not end by themselves, when the server begins to stop: a watch may last for hours, and
// whoever watches can go on elsewhere.
type halt struct {
	mu      sync.Mutex
	halted  bool
	last    int64
	running map[int64]context.CancelCauseFunc
}

// follow answers a context that ends with ctx, and with errStopping once now was called. Call done at the end.
func (h *halt) follow(ctx context.Context) (followed context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.halted {
		cancel(errStopping)
		return ctx, func() {}
	}
	if h.running == nil {
		h.running = map[int64]context.CancelCauseFunc{}
	}
	h.last++
	key := h.last
	h.running[key] = cancel
	return ctx, func() { h.forget(key) }
}

func (h *halt) forget(key int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if cancel, ok := h.running[key]; ok {
		cancel(nil)
		delete(h.running, key)
	}
}

// now ends what follows, and what will.
func (h *halt) now() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.halted = true
	for key, cancel := range h.running {
		cancel(errStopping)
		delete(h.running, key)
	}
}

// running counts HTTP requests until their handlers have returned: net/http does not wait for connections that were upgraded.
type running struct {
	mu    sync.Mutex
	count int
	// idle is closed when count falls to 0 after somebody asked.
	idle chan struct{}
}

func (r *running) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.add(1)
		defer r.add(-1)
		next.ServeHTTP(w, request)
	})
}

func (r *running) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count += n
	if r.count == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// wait returns at a moment when no handler runs. One caller may wait at a time.
func (r *running) wait() {
	r.mu.Lock()
	if r.count == 0 {
		r.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	r.idle = idle
	r.mu.Unlock()
	<-idle
}
