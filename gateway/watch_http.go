package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// heartbeat is how long a watch over HTTP is silent at most. Its sign is an empty line, which readers of JSON lines skip.
const heartbeat = 15 * time.Second

// serveWatch is WatchExecution over HTTP: one JSON object a line, each sent at once. An error before the first line is an
// answer of its own; later it is a last line {"error": {code, message, details}}, because a connection that breaks off could be a network's fault.
func (g *Gateway) serveWatch(w http.ResponseWriter, r *http.Request) {
	const method = ignitev1.ComputeService_WatchExecution_FullMethodName
	out := &lines{w: w, flusher: http.NewResponseController(w)}
	defer out.close()
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		return g.service.watch(ctx, r.PathValue("execution_id"), out.frame)
	})
	f, failed := errors.AsType[*fault](err)
	switch {
	case !failed:
	case out.begun:
		out.failed(f)
	default:
		writeError(w, f)
	}
}

// lines writes JSON lines, and an empty one when it was silent for long.
type lines struct {
	w       http.ResponseWriter
	flusher *http.ResponseController
	// begun is set with the first line, by the goroutine that writes frames.
	begun bool

	mu     sync.Mutex
	pulse  *time.Timer
	closed bool
}

func (l *lines) frame(m *ignitev1.WatchExecutionResponse) error {
	text, err := encoding.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	l.begin()
	return l.line(text)
}

func (l *lines) begin() {
	if l.begun {
		return
	}
	l.begun = true
	l.w.Header().Set("Content-Type", "application/x-ndjson")
	l.w.Header().Set("Cache-Control", "no-store")
	l.w.WriteHeader(http.StatusOK)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pulse = time.AfterFunc(heartbeat, func() {
		_ = l.line(nil) // whoever writes the next frame learns that the caller left
	})
}

// line writes one line and sets the pulse back.
func (l *lines) line(text []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.pulse.Reset(heartbeat)
	if _, err := l.w.Write(append(text, '\n')); err != nil {
		return left(err)
	}
	return left(l.flusher.Flush())
}

func (l *lines) failed(f *fault) {
	if f.code == codes.Canceled {
		return
	}
	text, err := errorEncoding.Marshal(f.GRPCStatus().Proto())
	if err == nil {
		_ = l.line([]byte(`{"error":` + string(text) + `}`)) // a watcher who left needs no error
	}
}

// close stops the pulse; nothing is written once it returned.
func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.pulse != nil {
		l.pulse.Stop()
	}
}
