package engine

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

const (
	// defaultIdle is how long a pod stays without calls when its app does not say.
	defaultIdle = 300 * time.Second
	// linger is how long a pool stays that has nothing to do; it saves making it again for every call of a quiet app.
	linger = time.Minute
	// lookAgain is the pause after a store that did not answer.
	lookAgain = time.Second
	// settled is how long a keeper sleeps when nothing but an event can change what it wants.
	settled = time.Hour
)

// keep starts and ends the pods of one app until the app is gone, the engine drains, or nobody needs the pool; it returns
// when all its pods are gone, and is forgotten before. It is the one goroutine that decides; each pod's life is a goroutine of its own below it.
func (p *pool) keep(ctx context.Context) {
	var pods sync.WaitGroup
	defer pods.Wait()
	for {
		changed := p.apps.Changed()
		again := p.look(ctx, &pods)
		if p.isClosed() {
			p.forget(p) // before its pods are gone: a call that comes needs another pool now
			return
		}
		p.wait(ctx, changed, again)
	}
}

// wait returns when there is a reason to look again.
func (p *pool) wait(ctx context.Context, changed <-chan struct{}, again time.Duration) {
	timer := time.NewTimer(again)
	defer timer.Stop()
	select {
	case <-p.poke:
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		p.close(errStopping, 0)
	}
}

func (p *pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed != nil
}

// look reads the app and acts on it; it answers when to look again if nothing happens.
func (p *pool) look(ctx context.Context, pods *sync.WaitGroup) time.Duration {
	app, err := p.apps.App(ctx, p.key.AppRef)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && app.Incarnation != p.key.incarnation:
		p.close(pod.ErrAppGone, 0)
		return 0
	case err != nil:
		p.log.WarnContext(ctx, "app cannot be read", slog.String("app", p.key.String()), slog.Any("error", err))
		return lookAgain
	}
	return p.reconcile(ctx, app, pods)
}

// reconcile brings the pods nearer to what the app wants.
func (p *pool) reconcile(ctx context.Context, app store.App, pods *sync.WaitGroup) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return 0
	}
	p.active = app.ActiveVersion
	p.timeout = timeoutOf(app.Config)
	if p.active == 0 {
		p.refuse(pod.ErrNotPublished)
	}
	p.followVersion()
	now := time.Now()
	l := p.load(app.Scaling)
	want := desired(now, l)
	switch {
	case want == 0:
		p.reap(ctx)
	case p.active != 0 && p.coming == nil && !p.serves(p.active) && !p.fault.held(now, p.active, p.waiting.length() > 0):
		p.begin(ctx, pods)
	}
	return p.nextLook(now, l)
}

// followVersion gives up the start of a version that is not active any longer, and drains other versions' pods if the active one serves.
func (p *pool) followVersion() {
	if p.coming != nil && p.coming.version != p.active {
		p.coming.cancel(errSuperseded)
	}
	if p.serves(p.active) {
		p.retireOthers(p.active)
	}
}

// serves reports whether a pod of version is in service.
func (p *pool) serves(version uint32) bool {
	for _, i := range p.pods {
		if i.version == version && !i.leaving() {
			return true
		}
	}
	return false
}

// load is what there is to do now.
func (p *pool) load(s store.Scaling) load {
	l := load{
		running:   p.serving(),
		waiting:   p.waiting.length(),
		reserved:  int(s.ReservedCapacity),
		used:      p.used,
		idleAfter: cmp.Or(time.Duration(s.ScaledownPeriodSecs)*time.Second, defaultIdle),
	}
	if p.coming != nil {
		l.running++
	}
	for _, i := range p.pods {
		if !i.leaving() {
			l.inFlight += i.used
		}
	}
	return l
}

// reap takes idle pods out of service, and ends the pool itself if it has nothing left to keep or to tell.
func (p *pool) reap(ctx context.Context) {
	for _, i := range p.pods {
		if !i.leaving() {
			p.log.InfoContext(ctx, "scaled to zero", p.attrs(i)...)
			p.retire(i, p.timeout)
		}
	}
	if len(p.pods) == 0 && p.coming == nil && p.lastError == "" && time.Since(p.used) >= linger {
		p.closed = errRetired
	}
}

// begin starts a pod of the active version. One start serves all who wait.
func (p *pool) begin(ctx context.Context, pods *sync.WaitGroup) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &coming{version: p.active, cancel: cancel}
	p.coming = c
	pods.Go(func() {
		defer cancel(nil)
		p.live(ctx, c)
	})
}

// nextLook answers how long the keeper may sleep.
func (p *pool) nextLook(now time.Time, l load) time.Duration {
	switch {
	case now.Before(p.fault.until):
		return p.fault.until.Sub(now)
	case l.reserved > 0:
		return settled
	case l.running == 0:
		return linger
	case l.waiting+l.inFlight > 0:
		return l.idleAfter
	}
	return max(l.used.Add(l.idleAfter).Sub(now), 0)
}
