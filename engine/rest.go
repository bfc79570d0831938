package engine

import (
	"context"
	"log/slog"
	"time"

	"dodil.io/ignite/engine/pod"
)

// thawLimit bounds the thawing of one pod, for a driver that hangs.
const thawLimit = 10 * time.Second

// rest freezes a pod that nobody needs instead of letting it end, if its driver can do that and there is room. It returns true when the pod is back in
// service, and false when it is to end after all.
func (p *pool) rest(ctx context.Context, i *instance) (back bool) {
	freezer, ok := i.pod.(pod.Freezer)
	if !ok || p.warm.most == 0 || !p.mayRest(ctx, i) {
		return false
	}
	bytes, err := freezer.MemoryBytes()
	if err != nil {
		p.log.WarnContext(ctx, "pod cannot be frozen", append(p.attrs(i), slog.Any("error", err))...)
		return p.rise(i, false)
	}
	place := p.warm.take(bytes)
	if place == nil {
		return p.rise(i, false)
	}
	defer p.warm.leave(place)
	return p.rise(i, p.sleep(ctx, i, freezer, place))
}

// mayRest makes a pod that would end one that is frozen, unless it must end. An app has one such pod of its active version, for the next call, and one of
// another, for a rollback.
func (p *pool) mayRest(ctx context.Context, i *instance) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil || ctx.Err() != nil || i.used > 0 || i.condemned || isClosed(i.pod.Done()) {
		return false
	}
	for _, other := range p.pods {
		if other.frozen && (other.version == p.active) == (i.version == p.active) {
			return false
		}
	}
	i.over, i.frozen = false, true
	return true
}

// sleep freezes the pod and thaws it again; true says that it is wanted.
func (p *pool) sleep(ctx context.Context, i *instance, freezer pod.Freezer, place *berth) (wanted bool) {
	p.noteFrozen(i, place.bytes)
	err := freezer.Freeze(ctx)
	if err == nil {
		p.log.InfoContext(ctx, "pod frozen", append(p.attrs(i), slog.Int64("bytes", place.bytes))...)
		wanted = p.untilWanted(ctx, i, place)
		err = thaw(ctx, freezer) // also before its end, which it is to notice
	}
	if err != nil && !isClosed(i.pod.Done()) {
		p.log.WarnContext(ctx, "pod cannot be frozen or thawed", append(p.attrs(i), slog.Any("error", err))...)
	}
	return wanted && err == nil
}

func thaw(ctx context.Context, freezer pod.Freezer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawLimit)
	defer cancel()
	return freezer.Thaw(ctx)
}

func (p *pool) noteFrozen(i *instance, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i.frozenBytes = bytes
}

// untilWanted returns true when the pod is to go on, and false when it is to end.
func (p *pool) untilWanted(ctx context.Context, i *instance, place *berth) bool {
	for {
		select {
		case <-i.pod.Done():
			return false
		case <-ctx.Done():
			return false
		case <-place.out:
			return false
		case <-i.moved:
		}
		if wanted, ended := p.isWanted(i); wanted || ended {
			return wanted
		}
	}
}

func (p *pool) isWanted(i *instance) (wanted, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return i.thawing && p.closed == nil, p.closed != nil
}

// rise ends the rest of a pod: it takes calls again, or it is over.
func (p *pool) rise(i *instance, back bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer signal(p.poke)
	back = back && p.closed == nil
	i.frozen, i.thawing, i.frozenBytes = false, false, 0
	i.leaving, i.over = !back, !back
	if back {
		p.used = time.Now()
		p.serveLine()
	}
	return back
}
