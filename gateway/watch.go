package gateway

import (
	"cmp"
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// patience is how long a watch goes on while its record cannot be read; stream.Watch has as much with output.
const patience = time.Minute

func (s *service) WatchExecution(r *ignitev1.WatchExecutionRequest, stream grpc.ServerStreamingServer[ignitev1.WatchExecutionResponse]) error {
	if r.GetHeartbeats() {
		return s.watchWithHeartbeats(r, stream)
	}
	return s.watch(stream.Context(), r, stream.Send)
}

func (s *service) watchWithHeartbeats(r *ignitev1.WatchExecutionRequest, stream grpc.ServerStreamingServer[ignitev1.WatchExecutionResponse]) error {
	send, stop := withHeartbeats(stream.Send)
	defer stop()
	return s.watch(stream.Context(), r, send)
}

// withHeartbeats is send, and sends by itself when nothing was sent for a while, until stop is called.
func withHeartbeats(send func(*ignitev1.WatchExecutionResponse) error) (beating func(*ignitev1.WatchExecutionResponse) error, stop func()) {
	beats := &pulse{beat: func() error { return send(&ignitev1.WatchExecutionResponse{Heartbeat: true}) }}
	beats.start()
	return func(frame *ignitev1.WatchExecutionResponse) error {
		return beats.do(func() error { return send(frame) })
	}, beats.stop
}

// watch sends the record as it is, then every change of it, and ends after the terminal record. All output that is stored comes
// before that one, so whoever begins to watch after the end gets the output first and the record once, last.
// A state that is left again before it could be read is passed over.
func (s *service) watch(ctx context.Context, r *ignitev1.WatchExecutionRequest, send func(*ignitev1.WatchExecutionResponse) error) error {
	if err := checkWatch(r); err != nil {
		return err
	}
	ctx, done := s.halt.follow(ctx)
	defer done()
	w := &watcher{service: s, id: r.GetExecutionId(), send: send, attempt: r.GetFromAttempt(), from: r.GetFromChunk()}
	for event, err := range s.cfg.Stream.Watch(ctx, w.id, w.attempt, w.from) {
		if err != nil {
			return w.broken(ctx, err)
		}
		if over, err := w.see(ctx, event); over || err != nil {
			return err
		}
	}
	// It ends by itself with ctx alone.
	return cmp.Or(context.Cause(ctx), stream.ErrClosed)
}

func checkWatch(r *ignitev1.WatchExecutionRequest) error {
	switch {
	case !store.ValidExecutionID(r.GetExecutionId()):
		return noExecution(r.GetExecutionId())
	case r.GetFromChunk() < 0:
		return badField("from_chunk", "must not be negative")
	default:
		return nil
	}
}

// watcher is one caller's watch of one execution. Records and output come from two streams, which nothing orders; what the caller gets is in
// the order in which the worker wrote it, attempt by attempt:
//
//	record ─ output of attempt 1 ─ record ─ "attempt 2 begins" ─ record ─ output of attempt 2 ─ … ─ terminal record
//
// So every record but the first waits until the output was sent that was stored before it was read.
type watcher struct {
	service *service
	id      string
	send    func(*ignitev1.WatchExecutionResponse) error
	// revision and current are those of the record that was read last, and of its attempt; 0 before the first.
	revision uint64
	current  uint32
	// attempt is the newest of which the caller had something, 0 before that; from is the first chunk that is wanted of it.
	attempt uint32
	from    int64
	// held is the record that waits.
	held *store.Execution
	// failing is since when the record cannot be read; zero if it can.
	failing time.Time
}

// see passes on what happened, and reports whether the terminal record was sent.
func (w *watcher) see(ctx context.Context, event stream.Event) (over bool, err error) {
	switch {
	case event.Chunk != nil:
		return false, w.output(event.Chunk)
	case event.Record:
		return false, w.look(ctx)
	default:
		return w.settle(ctx)
	}
}

// output sends a chunk. One of an attempt that was replaced is dropped: its worker did not know of that yet.
func (w *watcher) output(chunk *stream.Chunk) error {
	if w.held != nil && precedes(w.held, chunk) {
		if err := w.release(); err != nil {
			return err
		}
	}
	switch {
	case chunk.Attempt < w.attempt:
		return nil
	case w.attempt == 0 && chunk.Index < w.from:
		w.attempt = chunk.Attempt - 1 // the caller begins in the middle of an earlier one
	}
	if err := w.enter(chunk.Attempt); err != nil {
		return err
	}
	return w.send(&ignitev1.WatchExecutionResponse{OutputChunk: chunk.Data, ChunkIndex: chunk.Index, Attempt: chunk.Attempt})
}

// precedes reports whether the worker wrote the record before the chunk.
func precedes(record *store.Execution, chunk *stream.Chunk) bool {
	return record.Attempt < chunk.Attempt || record.Attempt == chunk.Attempt && record.Status == store.Running
}

// enter says that an attempt begins, unless it is the first that the caller hears of.
func (w *watcher) enter(attempt uint32) error {
	if attempt <= w.attempt {
		return nil
	}
	first := w.attempt == 0
	w.attempt = attempt
	if first {
		return nil
	}
	return w.send(&ignitev1.WatchExecutionResponse{Attempt: attempt, NewAttempt: true})
}

// look reads the record; the first one is sent at once. It has a place of its own because records are large, and the stack of
// an idle watcher is not.
func (w *watcher) look(ctx context.Context) error {
	record, err := w.service.execution(ctx, w.id)
	if err != nil {
		return w.bear(err)
	}
	first := w.revision == 0
	w.failing = time.Time{}
	if !first && record.Revision == w.revision {
		return nil
	}
	w.revision, w.current = record.Revision, record.Attempt
	if first && !record.Status.Terminal() {
		return w.send(&ignitev1.WatchExecutionResponse{Execution: publicExecution(record)})
	}
	w.held = &record
	return nil
}

// settle sends what waited for the output before it.
func (w *watcher) settle(ctx context.Context) (over bool, err error) {
	switch {
	case w.held == nil:
		return false, w.enter(w.current)
	case w.held.Status.Terminal():
		return true, w.finish(ctx)
	default:
		return false, w.release()
	}
}

// release sends the record that was held, which has not ended.
func (w *watcher) release() error {
	record := w.held
	w.held = nil
	if err := w.enter(record.Attempt); err != nil {
		return err
	}
	return w.send(&ignitev1.WatchExecutionResponse{Execution: publicExecution(*record)})
}

// finish sends the terminal record, which alone carries the result.
func (w *watcher) finish(ctx context.Context) error {
	if err := w.enter(w.held.Attempt); err != nil {
		return err
	}
	execution, err := w.service.withResult(ctx, *w.held)
	if err != nil {
		return err
	}
	return w.send(&ignitev1.WatchExecutionResponse{Execution: execution})
}

// bear passes over a store that does not answer for a while, as when NATS is restarted: the record is read again at the
// next event, which the return of a lost connection is.
func (w *watcher) bear(err error) error {
	if w.revision == 0 || !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	if w.failing.IsZero() {
		w.failing = time.Now()
	}
	if time.Since(w.failing) > patience {
		return err
	}
	return nil
}

// broken answers why a watch ended early. One that lacks old output of an execution that has ended still gets the record,
// whose result is whole.
func (w *watcher) broken(ctx context.Context, err error) error {
	if errors.Is(err, stream.ErrLost) && w.held != nil && w.held.Status.Terminal() {
		return w.finish(ctx)
	}
	return err
}
