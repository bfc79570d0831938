package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// errCut is why a call ended whose record this worker does not hold any longer: its execution was cancelled, or another worker took it over.
var errCut = errors.New("the execution was cancelled or taken over")

// hearCancellations cuts the calls of executions that are cancelled, from when it returns until ctx ends. A message that is lost is made good
// by review.
func (w *worker) hearCancellations(ctx context.Context) {
	err := w.stream.Answer(ctx, stream.CancelTopic(w.name), func(execution []byte) []byte {
		if w.hands.cut(string(execution)) {
			return []byte("cut")
		}
		return []byte("not running")
	})
	if err != nil {
		w.log.WarnContext(ctx, "cannot hear of cancellations", slog.Any("error", err))
	}
}

// review cuts the calls whose record was written by somebody else since this worker took it: the execution was cancelled, or this process
// stood still for so long that another took it over. It takes no longer than limit: renewing must not wait for it.
func (w *worker) review(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, h := range w.hands.held() {
		record, err := w.store.Execution(ctx, h.job.Owner, h.job.Execution)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && record.Revision > h.revision:
			h.cut(errCut)
		case err != nil:
			w.log.DebugContext(ctx, "records in hand not reviewed", slog.Any("error", err))
			return
		}
	}
}

// letGo leaves an execution to who wrote its record. It is handed back if that cannot be seen.
func (a *attempt) letGo(ctx context.Context) end {
	if e, still := a.reread(ctx); !still {
		return e
	}
	return a.handBack(ctx, errCut)
}
