package engine

import (
	"context"
	"runtime"
)

// gate bounds the jobs that are being begun or settled at a time, which is what running them costs this process; a call that waits
// for its pod is not counted. Who submits waits for an answer, and who submitted does not: that is what the queue is for.
// So while both want the processor, few jobs compete with many submissions; with nobody submitting a
// few at a time are as fast as many.
type gate chan struct{}

func newGate() gate { return make(gate, 2*runtime.GOMAXPROCS(0)) }

// pass runs step when there is room, and not at all if ctx ends first.
func (g gate) pass(ctx context.Context, step func()) error {
	select {
	case g <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-g }()
	step()
	return nil
}
