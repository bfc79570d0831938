package engine

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// startsAtOnce bounds the starts of one app that are under way: each takes processor time from the pods that serve.
const startsAtOnce = 4

// reconcile brings the pods nearer to what the app wants, and answers when to look again if nothing happens.
//
// While versions change, pods of the new one are started beside those of the old, which may make twice as many as the app may have; for each
// that is ready one of the old drains. So there are never fewer to serve than before, and a version that does not come up changes nothing.
func (p *pool) reconcile(ctx context.Context, app store.App, pods *sync.WaitGroup) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return 0
	}
	p.noteServed()
	p.follow(app)
	if p.active == 0 {
		p.refuse(pod.ErrNotPublished)
	}
	p.giveUpOthers()
	now := time.Now()
	s := p.samples(now)
	p.decide(now, s)
	p.takeBack(p.active, p.desired-p.servingOf(p.active))
	p.begin(ctx, now, p.active, p.desired-p.servingOf(p.active), pods)
	p.beginStandIn(ctx, now, pods)
	p.letGo(ctx)
	p.serveLine() // there may be more slots
	if p.isIdle(now) {
		p.closed = errRetired
	}
	return p.nextLook(now, s)
}

// giveUpOthers gives up the starts of versions that are not active any longer.
func (p *pool) giveUpOthers() {
	for _, c := range p.coming {
		if c.version != p.active && c.version != p.standIn() {
			c.cancel(errSuperseded)
		}
	}
}

// samples are what there is to do now. Calls in pods that drain are not counted: they want no other.
func (p *pool) samples(now time.Time) samples {
	s := samples{
		running: p.serving() + p.arriving(),
		waiting: p.waiting.length(),
		queued:  p.queued(now),
		arrived: p.arrivals.count(now),
		used:    p.used,
	}
	for _, i := range p.pods {
		if !i.leaving {
			s.inFlight += i.used
		}
	}
	return s
}

// decide says how many pods there should be.
func (p *pool) decide(now time.Time, s samples) {
	p.before.note(now, wish(p.rules, s), p.rules.scaledown)
	s.before = p.before
	p.desired = 0
	if p.active != 0 {
		p.desired = desired(now, p.rules, s)
	}
}

// servingOf counts the pods of version that are in service.
func (p *pool) servingOf(version uint32) int {
	n := 0
	for _, i := range p.pods {
		if !i.leaving && i.version == version {
			n++
		}
	}
	return n
}

// arriving counts the starts that are under way, and the pods that are being thawed.
func (p *pool) arriving() int {
	n := len(p.coming)
	for _, i := range p.pods {
		if i.thawing {
			n++
		}
	}
	return n
}

// startingOf counts the starts of version that are under way, and its pods that are being thawed.
func (p *pool) startingOf(version uint32) int {
	n := 0
	for _, i := range p.pods {
		if i.thawing && i.version == version {
			n++
		}
	}
	for _, c := range p.coming {
		if c.version == version {
			n++
		}
	}
	return n
}

// takeBack puts so many pods of version back into service that finish their calls, or are frozen, before any is started: after a rollback, and when
// calls come again while their number goes down.
func (p *pool) takeBack(version uint32, missing int) {
	for _, i := range p.pods {
		if missing > 0 && i.version == version && p.restore(i) {
			missing--
			signal(p.poke) // its calls are demand again
		}
	}
	missing -= p.startingOf(version)
	for _, i := range p.pods {
		if missing > 0 && i.version == version && p.wake(i) {
			missing--
		}
	}
}

// begin starts the pods that are missing of version, a few at a time, and if its last start failed one at a time.
func (p *pool) begin(ctx context.Context, now time.Time, version uint32, missing int, pods *sync.WaitGroup) {
	fault := p.faultOf(version)
	if fault.held(now, version, p.waiting.length() > 0) {
		return
	}
	atOnce := startsAtOnce
	if fault.of(version) {
		atOnce = 1
	}
	for range min(missing, atOnce) - p.startingOf(version) {
		p.beginOne(ctx, version, pods)
	}
}

func (p *pool) beginOne(ctx context.Context, version uint32, pods *sync.WaitGroup) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &coming{version: version, cancel: cancel}
	p.coming = append(p.coming, c)
	p.tellRoom()
	pods.Go(func() {
		defer cancel(nil)
		p.live(ctx, c)
	})
}

// letGo takes pods out of service of which there are too many: those of other versions as far as the active one has taken their place, idle
// ones first.
func (p *pool) letGo(ctx context.Context) {
	ready := p.servingOf(p.active)
	p.drain(ctx, max(p.desired-ready, 0), func(i *instance) bool { return i.version != p.active })
	p.drain(ctx, p.desired, func(i *instance) bool { return i.version == p.active })
}

// drain takes the least used pods that are meant out of service, all but so many.
func (p *pool) drain(ctx context.Context, but int, meant func(*instance) bool) {
	var serving []*instance
	for _, i := range p.pods {
		if !i.leaving && meant(i) {
			serving = append(serving, i)
		}
	}
	slices.SortStableFunc(serving, func(a, b *instance) int { return cmp.Compare(a.used, b.used) })
	for _, i := range serving[:max(len(serving)-but, 0)] {
		p.log.InfoContext(ctx, "pod drains", append(p.attrs(i), slog.Int("desired", p.desired))...)
		p.retire(i, p.timeout)
	}
}

// isIdle reports whether the pool has nothing left to keep, and has told for long enough what it has to tell.
func (p *pool) isIdle(now time.Time) bool {
	told := linger
	if p.lastError != "" {
		told = remembered
	}
	return p.desired == 0 && len(p.pods) == 0 && p.arriving() == 0 && p.waiting.length() == 0 && now.Sub(p.used) >= told
}

// nextLook answers how long the keeper may sleep if nothing happens.
func (p *pool) nextLook(now time.Time, s samples) time.Duration {
	next := settled
	at := func(moment time.Time) {
		if left := moment.Sub(now); left > 0 {
			next = min(next, left)
		}
	}
	at(p.fault.until)
	at(p.standInFault.until)
	at(s.used.Add(p.rules.scaledown))
	at(s.used.Add(linger))
	at(s.used.Add(remembered))
	for _, past := range p.before {
		at(past.until.Add(p.rules.scaledown))
	}
	p.asleep = s.calls() == 0 && s.arrived == 0
	if !p.asleep {
		next = min(next, lookOften)
	}
	return next
}
