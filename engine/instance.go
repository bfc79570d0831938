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

// instance is a pod in service, or on its way out. The pool's lock guards what changes.
type instance struct {
	pod     pod.Pod
	version uint32
	// used is how many calls it has.
	used int
	// leaving says that it gets no more calls; those in it may take until deadline.
	leaving  bool
	deadline time.Time
	// condemned says that it must not come back, and over that it cannot any more.
	condemned, over bool
	// frozen says that it rests (rest.go), thawing that it is to come back from there.
	frozen, thawing bool
	frozenBytes     int64
	// moved tells live that there may be a reason to end.
	moved chan struct{}
	// outOfService is closed when calls that are still in it must let go.
	outOfService chan struct{}
	// evicted says after outOfService that it was the engine that ended the calls, not the pod.
	evicted bool
}

func newInstance(started pod.Pod, version uint32) *instance {
	return &instance{pod: started, version: version, moved: make(chan struct{}, 1), outOfService: make(chan struct{})}
}

// coming is a start under way.
type coming struct {
	version uint32
	cancel  context.CancelCauseFunc
}

// live is the whole life of one pod: it starts, serves, drains and is stopped. It returns when nothing of it is left.
func (p *pool) live(ctx context.Context, c *coming) {
	v, err := p.version(ctx, c.version)
	if err != nil {
		p.notStarted(ctx, c, err)
		return
	}
	defer p.uses.begin(v.ArtifactHash)()
	started, err := p.startPod(ctx, v)
	if err != nil {
		p.notStarted(ctx, c, err)
		return
	}
	ready := time.Now()
	i := newInstance(started, c.version)
	p.started(ctx, c, i)
	p.log.InfoContext(ctx, "pod started", p.attrs(i)...)
	p.serve(ctx, i)
	for p.rest(ctx, i) {
		p.serve(ctx, i)
	}
	p.takeOut(i, time.Since(ready))
	p.stop(ctx, i.pod, p.attrs(i)...)
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

// serve returns when calls must let go of the pod: it ended, it was told to leave and is empty or out of time, or ctx ended.
func (p *pool) serve(ctx context.Context, i *instance) {
	for {
		left, over := p.timeLeft(i)
		if over || !await(ctx, i, left) {
			return
		}
	}
}

// timeLeft answers how long the pod's calls may still take. Once it is over, the pod does not come back into service.
func (p *pool) timeLeft(i *instance) (left time.Duration, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !i.leaving {
		return forever, false
	}
	left = time.Until(i.deadline)
	i.over = i.used == 0 || left <= 0
	return left, i.over
}

// await waits until the pod has moved or the time is up; false if it ended, or has to.
func await(ctx context.Context, i *instance, left time.Duration) bool {
	var up <-chan time.Time
	if left < forever {
		timer := time.NewTimer(left)
		defer timer.Stop()
		up = timer.C
	}
	select {
	case <-i.pod.Done():
		return false
	case <-ctx.Done():
		return false
	case <-i.moved:
	case <-up:
	}
	return true
}

// takeOut removes the pod from those that calls are given to, and tells the calls that are still in it.
func (p *pool) takeOut(i *instance, lived time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i.leaving, i.over = true, true
	p.pods = slices.DeleteFunc(p.pods, func(other *instance) bool { return other == i })
	i.evicted = !isClosed(i.pod.Done())
	p.faultOf(i.version).lived(i.version, lived)
	if !i.evicted {
		p.ended(i)
	}
	close(i.outOfService)
	p.offerRoom()
	signal(p.poke)
}

// ended remembers why a pod ended that nobody had told to.
func (p *pool) ended(i *instance) {
	p.faultOf(i.version).ended(time.Now(), i.version)
	if err := i.pod.Err(); err != nil {
		p.lastError = err.Error()
	}
}

// stop ends a pod, after its calls were told, so that they can tell an eviction from a failure. attrs name it in the log.
func (d *dispatcher) stop(ctx context.Context, stopped pod.Pod, attrs ...any) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if err := stopped.Stop(ctx); err != nil {
		d.log.ErrorContext(ctx, "pod does not stop", append(attrs, slog.Any("error", err))...)
	}
}

// retire gives the pod no more calls; those in it may take as long as patience, or less if that was said before.
func (p *pool) retire(i *instance, patience time.Duration) {
	deadline := time.Now().Add(patience)
	if i.leaving && i.deadline.Before(deadline) {
		return
	}
	i.leaving, i.deadline = true, deadline
	signal(i.moved)
}

// restore puts a pod back into service that finishes its calls, if it can; it is as good as new, and there at once.
func (p *pool) restore(i *instance) bool {
	if !i.leaving || i.over || i.frozen || i.condemned || isClosed(i.pod.Done()) {
		return false
	}
	i.leaving = false
	signal(i.moved)
	return true
}

// wake thaws a pod that is frozen; it is in service in a moment.
func (p *pool) wake(i *instance) bool {
	if !i.frozen || i.thawing || isClosed(i.pod.Done()) {
		return false
	}
	i.thawing = true
	signal(i.moved)
	return true
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
