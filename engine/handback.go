package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// soon is the pause before work is delivered again that could not be begun for a reason outside of it.
const soon = time.Second

// handBack makes the execution wait again, since it did not fail: the server stops, or it is not its turn. If the record
// cannot be written the next worker takes it over as it is.
func (a *attempt) handBack(ctx context.Context, reason error) end {
	e, stored := a.insist(ctx, func(error, time.Duration) (store.Execution, error) { return a.updateUncut(ctx, released(a.held)) })
	if !stored {
		return e
	}
	a.log.InfoContext(ctx, "execution handed back", slog.String("execution", a.held.ID),
		slog.Uint64("attempt", uint64(a.held.Attempt)), slog.Any("reason", reason))
	if errors.Is(reason, errEvicted) {
		return givenBack(0)
	}
	return a.later(ctx)
}

// later gives a job back: for another worker at once if this one stops, else after a pause.
func (w *worker) later(ctx context.Context) end {
	if ctx.Err() != nil || w.dispatch.isDraining() {
		return givenBack(0)
	}
	return givenBack(soon)
}

// errEvicted is why a call ended that the engine cut: its pod had to go.
var errEvicted = errors.New("pod was taken out of service during the call")

// handsBack reports the errors that are nobody's failure but a reason to try again.
func handsBack(err error) bool {
	for _, reason := range []error{pod.ErrBusy, errEvicted, store.ErrUnavailable, stream.ErrUnavailable} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
