package engine

import (
	"context"
	"runtime"
	"sync"
	"time"
)

const (
	// turnsPerProcessor bounds the starts that are in their turn: each takes processor time from the others, and from the pods that serve, so that when
	// very many apps wake at once the first are up sooner and the last no later.
	turnsPerProcessor = 8
	// turnLimit is how long a start keeps its turn: one that takes longer waits for something, or hangs, and is not to keep other apps from starting.
	turnLimit = 2 * time.Second
)

// turns are for the starts of a process, over all its apps: so many may be in their first moments at a time.
type turns chan struct{}

func newTurns() turns { return make(turns, turnsPerProcessor*runtime.GOMAXPROCS(0)) }

// take waits for a turn. end gives it back, if it is not over by then.
func (t turns) take(ctx context.Context) (end func(), err error) {
	select {
	case t <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	leave := sync.OnceFunc(func() { <-t })
	over := time.AfterFunc(turnLimit, leave)
	return func() {
		over.Stop()
		leave()
	}, nil
}
