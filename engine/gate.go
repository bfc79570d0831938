package engine

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"dodil.io/ignite/store"
)

// gate bounds the jobs that are being begun or settled at a time. While somebody submits they are few: who submits waits for an answer, and who
// submitted does not: that is what the queue is for. So while both want the processor, few jobs compete with many submissions.
//
// The apps take turns before the gate: those of one app whose calls all end at once do not keep another's waiting.
type gate struct {
	// submitting reports whether anybody does, in this process.
	submitting func() bool
	// narrow is how many steps may run at a time while somebody submits, wide how many while nobody does.
	narrow, wide int

	mu sync.Mutex
	// inside counts the steps that run.
	inside int
	// waiting has the steps of each app that waits, the oldest first; turns are those apps, the next first.
	waiting map[store.AppRef][]chan struct{}
	turns   []store.AppRef
}

func newGate(submitting func() bool) *gate {
	processors := runtime.GOMAXPROCS(0)
	return newGateOf(2*processors, 4*processors, submitting)
}

func newGateOf(narrow, wide int, submitting func() bool) *gate {
	return &gate{submitting: submitting, narrow: narrow, wide: wide, waiting: make(map[store.AppRef][]chan struct{})}
}

// hasRoom is asked with the lock held.
func (g *gate) hasRoom() bool {
	if g.submitting() {
		return g.inside < g.narrow
	}
	return g.inside < g.wide
}

// pass runs a step of app when there is room, and not at all if ctx ends first.
func (g *gate) pass(ctx context.Context, app store.AppRef, step func()) error {
	if err := g.enter(ctx, app); err != nil {
		return err
	}
	defer g.leave()
	step()
	return nil
}

func (g *gate) enter(ctx context.Context, app store.AppRef) error {
	turn := g.join(app)
	if turn == nil {
		return nil
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		g.abandon(app, turn)
		return context.Cause(ctx)
	}
}

// join answers nil if there is room, or what is closed when there is.
func (g *gate) join(app store.AppRef) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.turns) == 0 && g.hasRoom() {
		g.inside++
		return nil
	}
	turn := make(chan struct{})
	if len(g.waiting[app]) == 0 {
		g.turns = append(g.turns, app)
	}
	g.waiting[app] = append(g.waiting[app], turn)
	return turn
}

// abandon takes a step out of the line, or passes its room on if it has that already.
func (g *gate) abandon(app store.AppRef, turn chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if isClosed(turn) {
		g.inside--
		g.admit()
		return
	}
	g.waiting[app] = slices.DeleteFunc(g.waiting[app], func(other chan struct{}) bool { return other == turn })
	if len(g.waiting[app]) == 0 {
		delete(g.waiting, app)
		g.turns = slices.DeleteFunc(g.turns, func(other store.AppRef) bool { return other == app })
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.admit()
}

// admit lets steps in while there is room.
func (g *gate) admit() {
	for len(g.turns) > 0 && g.hasRoom() {
		g.inside++
		g.next()
	}
}

// next lets the first of the app in whose turn it is, which is then the last.
func (g *gate) next() {
	app := g.turns[0]
	g.turns = g.turns[1:]
	line := g.waiting[app]
	close(line[0])
	if len(line) == 1 {
		delete(g.waiting, app)
		return
	}
	g.waiting[app] = line[1:]
	g.turns = append(g.turns, app)
}
