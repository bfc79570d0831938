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
	return s.watch(stream.Context(), r.GetExecutionId(), stream.Send)
}

// watch sends the record as it is, then every change of it, and ends after the terminal record. All output that is stored comes
// before that one, so whoever begins to watch after the end gets the output first and the record once, last.
// A state that is left again before it could be read is passed over.
func (s *service) watch(ctx context.Context, id string, send func(*ignitev1.WatchExecutionResponse) error) error {
	if !store.ValidExecutionID(id) {
		return noExecution(id)
	}
	ctx, done := s.halt.follow(ctx)
	defer done()
	w := &watcher{service: s, id: id, send: send}
	for event, err := range s.cfg.Stream.Watch(ctx, id, 0, 0) {
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

// watcher is one caller's watch of one execution.
type watcher struct {
	service *service
	id      string
	send    func(*ignitev1.WatchExecutionResponse) error
	// read says that the record was read once, revision which one that was; it was sent, unless it is final.
	read     bool
	revision uint64
	// final is the terminal record while the output before it is not sent.
	final *store.Execution
	// failing is since when the record cannot be read; zero if it can.
	failing time.Time
}

// see passes on what happened, and reports whether the terminal record was sent.
func (w *watcher) see(ctx context.Context, event stream.Event) (over bool, err error) {
	if event.Chunk != nil {
		return false, w.send(&ignitev1.WatchExecutionResponse{
			OutputChunk: event.Chunk.Data, ChunkIndex: event.Chunk.Index, Attempt: event.Chunk.Attempt,
		})
	}
	if event.Record {
		return w.look(ctx)
	}
	if w.final == nil {
		return false, nil
	}
	return true, w.finish(ctx, w.final)
}

// look reads the record and passes it on if it is news. It has a place of its own because records are large, and the stack of
// an idle watcher is not.
func (w *watcher) look(ctx context.Context) (over bool, err error) {
	record, err := w.service.execution(ctx, w.id)
	if err != nil {
		return false, w.bear(err)
	}
	w.failing = time.Time{}
	if !w.read {
		record = w.service.mended(ctx, record)
	}
	news := !w.read || record.Revision != w.revision
	w.read, w.revision = true, record.Revision
	switch {
	case record.Status.Terminal() && record.Streamed:
		// It may be newer than the change that was told of; only Settled says that all its output was sent.
		w.final = &record
		return false, nil
	case record.Status.Terminal():
		return true, w.finish(ctx, &record)
	case news:
		return false, w.send(&ignitev1.WatchExecutionResponse{Execution: publicExecution(record)})
	default:
		return false, nil
	}
}

// bear passes over a store that does not answer for a while, as when NATS is restarted: the record is read again at the
// next event, which the return of a lost connection is.
func (w *watcher) bear(err error) error {
	if !w.read || !errors.Is(err, store.ErrUnavailable) {
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

// finish sends the terminal record, which alone carries the result.
func (w *watcher) finish(ctx context.Context, record *store.Execution) error {
	execution, err := w.service.withResult(ctx, *record)
	if err != nil {
		return err
	}
	return w.send(&ignitev1.WatchExecutionResponse{Execution: execution})
}

// broken answers why a watch ended early. One that lacks old output of an execution that has ended still gets the record,
// whose result is whole.
func (w *watcher) broken(ctx context.Context, err error) error {
	if errors.Is(err, stream.ErrLost) && w.final != nil {
		return w.finish(ctx, w.final)
	}
	return err
}
