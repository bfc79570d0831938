package engine

import (
	"context"
	"runtime"

	"dodil.io/ignite/stream"
)

// gateWidth is how many jobs write their records, or are acknowledged, at a time for each processor: enough that it has something to do, and few
// enough that who comes next does not wait for long. gateNarrow is that while somebody submits.
const gateWidth, gateNarrow = 4, 2

// gate bounds the jobs that are being begun or settled at a time. While somebody submits they are few: who submits waits for an answer, and who
// submitted does not: that is what the queue is for. So while both want the processor, few jobs compete with many submissions.
//
// Organizations take turns before the gate, and in each of them its apps: when calls of one all end at once, those of another do not
// stand behind them.
type gate struct{ turns *budget }

// newGate makes a gate; submitting reports whether anybody does, in this process.
func newGate(submitting func() bool) gate {
	processors := int64(runtime.GOMAXPROCS(0))
	turns := newBudget(gateWidth*processors, 0)
	turns.limit = func() int64 {
		if submitting() {
			return gateNarrow * processors
		}
		return gateWidth * processors
	}
	return gate{turns}
}

// pass runs a step of app when there is room, and not at all if ctx ends first.
func (g gate) pass(ctx context.Context, app stream.App, step func()) error {
	turn := g.turns.open(app)
	defer turn.close()
	if _, err := turn.take(ctx, 1, 1); err != nil {
		return err
	}
	defer turn.release(1)
	step()
	return nil
}
