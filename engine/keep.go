package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

const (
	// linger is how long a pool stays that has nothing to do; it saves making it again for every call of a quiet app.
	linger = time.Minute
	// remembered is how long it stays to tell why the last start failed, after the last call.
	remembered = 24 * time.Hour
	// lookAgain is the pause after a store that did not answer.
	lookAgain = time.Second
	// lookOften is the pause between two looks at an app that has calls: what it wants changes with them, and with time.
	lookOften = time.Second
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
