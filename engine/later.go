package engine

import (
	"context"
	"log/slog"
	"time"
)

// moveDue has move bring work whose time has come back into the queue until ctx ends, and begins it again, after a pause, when it fails.
func (w *worker) moveDue(ctx context.Context, move func(context.Context) error) {
	pauses := backoff{least: time.Second, most: sweepEvery}
	for ctx.Err() == nil {
		began := time.Now()
		err := move(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > sweepEvery {
			pauses.reset()
		}
		w.log.WarnContext(ctx, "work that is due is not moved into the queue", slog.Any("error", err))
		_ = pauses.wait(ctx) // the loop looks at ctx
	}
}
