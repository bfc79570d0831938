package engine

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"time"

	"dodil.io/ignite/engine/pod"
)

// forever is the patience with calls in a pod that only the end of the keeper's context cuts short.
const forever = time.Duration(math.MaxInt64)

// stopLimit bounds the stop of one pod; a driver kills after the grace, so this is for a driver that hangs.
const stopLimit = time.Minute

// instance is a pod in service, or on its way out. The pool's lock guards used and patience.
type instance struct {
	pod     pod.Pod
	version uint32
	// slots is how many calls it takes at once, used how many it has.
	slots, used int
	// patience is how long calls may still take once it leaves.
	patience time.Duration
	// left is closed when it gets no more calls.
	left chan struct{}
	// empty is closed when it gets no more calls and has none.
	empty chan struct{}
	// outOfService is closed when calls that are still in it must let go.
	outOfService chan struct{}
	// evicted says after outOfService that it was the engine that ended the calls, not the pod.
	evicted bool
}

func newInstance(started pod.Pod, s spec) *instance {
	return &instance{
		pod:          started,
		version:      s.Version,
		slots:        s.slots,
		left:         make(chan struct{}),
		empty:        make(chan struct{}),
		outOfService: make(chan struct{}),
	}
}

func (i *instance) leaving() bool { return isClosed(i.left) }

// coming is a start under way.
type coming struct {
	version uint32
	cancel  context.CancelCauseFunc
}

// live is the whole life of one pod: it starts, serves, drains and is stopped. It returns when nothing of it is left.
func (p *pool) live(ctx context.Context, c *coming) {
	started, s, err := p.start(ctx, c.version)
	if err != nil {
		p.notStarted(ctx, c, err)
		return
	}
	ready := time.Now()
	i := newInstance(started, s)
	p.started(ctx, c, i)
	p.log.InfoContext(ctx, "pod started", p.attrs(i)...)
	p.serve(ctx, i)
	p.takeOut(i, time.Since(ready))
	p.stop(ctx, i)
	p.tellEnd(ctx, i, time.Since(ready))
}

// tellEnd tells a pod that was stopped from one that ended by itself.
func (p *pool) tellEnd(ctx context.Context, i *instance, lived time.Duration) {
	attrs := append(p.attrs(i), slog.Duration("lived", lived))
	if i.evicted {
		p.log.InfoContext(ctx, "pod stopped", attrs...)
		return
	}
	p.log.WarnContext(ctx, "pod ended by itself", append(attrs, slog.Any("error", i.pod.Err()))...)
}

// serve returns when calls must let go of the pod: it ended, it was told to leave and is empty or out of patience, or ctx ended.
func (p *pool) serve(ctx context.Context, i *instance) {
	select {
	case <-i.pod.Done():
		return
	case <-ctx.Done():
		return
	case <-i.left:
	}
	timer := time.NewTimer(p.patience(i))
	defer timer.Stop()
	select {
	case <-i.pod.Done():
	case <-ctx.Done():
	case <-i.empty:
	case <-timer.C:
	}
}

func (p *pool) patience(i *instance) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return i.patience
}

// takeOut removes the pod from those that calls are given to, and tells the calls that are still in it.
func (p *pool) takeOut(i *instance, lived time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retire(i, 0)
	p.pods = slices.DeleteFunc(p.pods, func(other *instance) bool { return other == i })
	i.evicted = !isClosed(i.pod.Done())
	if !i.evicted {
		p.ended(i, lived)
	}
	close(i.outOfService)
	p.offerRoom()
	signal(p.poke)
}

// ended remembers why a pod ended that nobody had told to.
func (p *pool) ended(i *instance, lived time.Duration) {
	p.fault.ended(time.Now(), i.version, lived)
	if err := i.pod.Err(); err != nil {
		p.lastError = err.Error()
	}
}

// stop ends the pod, after its calls were told, so that they can tell an eviction from a failure.
func (p *pool) stop(ctx context.Context, i *instance) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if err := i.pod.Stop(ctx); err != nil {
		p.log.ErrorContext(ctx, "pod does not stop", append(p.attrs(i), slog.Any("error", err))...)
	}
}

// retire gives the pod no more calls; those in it may take as long as patience.
func (p *pool) retire(i *instance, patience time.Duration) {
	if i.leaving() {
		return
	}
	i.patience = patience
	close(i.left)
	if i.used == 0 {
		close(i.empty)
	}
}

// attrs name the pod in logs.
func (p *pool) attrs(i *instance) []any {
	return []any{
		slog.String("app", p.key.String()),
		slog.Uint64("version", uint64(i.version)),
		slog.String("pod", i.pod.Name()),
	}
}

// isClosed reports whether a channel that nothing is sent on was closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
