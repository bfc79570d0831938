package gateway

import (
	"cmp"
	"context"
	"errors"

	"google.golang.org/grpc"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

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
	// seen is the record read last. It was sent, unless it is terminal.
	seen store.Execution
}

// see passes on what happened, and reports whether the terminal record was sent.
func (w *watcher) see(ctx context.Context, event stream.Event) (over bool, err error) {
	if event.Chunk != nil {
		return false, w.send(&ignitev1.WatchExecutionResponse{
			OutputChunk: event.Chunk.Data, ChunkIndex: event.Chunk.Index, Attempt: event.Chunk.Attempt,
		})
	}
	first := w.seen.ID == ""
	record, err := w.service.execution(ctx, w.id)
	if err != nil || record.Revision == w.seen.Revision && !record.Status.Terminal() {
		return false, err
	}
	w.seen = record
	switch {
	case !record.Status.Terminal():
		return false, w.send(&ignitev1.WatchExecutionResponse{Execution: publicExecution(record)})
	case first && record.Streamed:
		// Only the first event comes before the output; at the next it was all sent.
		return false, nil
	default:
		return true, w.finish(ctx)
	}
}

// finish sends the terminal record, which alone carries the result.
func (w *watcher) finish(ctx context.Context) error {
	execution, err := w.service.withResult(ctx, w.seen)
	if err != nil {
		return err
	}
	return w.send(&ignitev1.WatchExecutionResponse{Execution: execution})
}

// broken answers why a watch ended early. One that lacks old output of an execution that has ended still gets the record,
// whose result is whole.
func (w *watcher) broken(ctx context.Context, err error) error {
	if errors.Is(err, stream.ErrLost) && w.seen.Status.Terminal() {
		return w.finish(ctx)
	}
	return err
}
