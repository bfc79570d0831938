package engine

import (
	"context"
	"runtime"
)

// gate bounds the jobs that are being begun or settled at a time while somebody submits. Who submits waits for an answer, and who
// submitted does not: that is what the queue is for. So while both want the processor, few jobs compete with
// many submissions. While nobody submits it stands open.
type gate struct {
	// submitting reports whether anybody does, in this process.
	submitting func() bool
	places     chan struct{}
}

func newGate(submitting func() bool) gate {
	return gate{submitting: submitting, places: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
}

// pass runs step when there is room, and not at all if ctx ends first.
func (g gate) pass(ctx context.Context, step func()) error {
	if !g.submitting() {
		step()
		return nil
	}
	select {
	case g.places <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-g.places }()
	step()
	return nil
}
