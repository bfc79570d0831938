package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// errRetired is answered by a pool that has ended because nobody used it; there may be a new one.
var errRetired = errors.New("pool is retired")

// pool has the pods of one app and the calls that wait for one. Calls take and give back slots under its lock; its keeper
// (keep.go) alone starts pods and decides how many there are.
type pool struct {
	*dispatcher
	key poolKey
	// poke makes the keeper look again.
	poke chan struct{}

	mu sync.Mutex
	// pods are those in service and those that drain.
	pods    []*instance
	waiting line
	// coming are the starts under way.
	coming []*coming
	// fault is the active version's, standInFault that of the version that serves in its place.
	fault, standInFault fault
	// active is the version that serves or shall serve, as the keeper last saw it.
	active uint32
	// served is the version that was active when last a pod of the active one was in service.
	served uint32
	// rules are those of the app now, and desired is what they came to when the keeper last looked.
	rules   rules
	desired int
	// timeout is how long one call may take, and therefore how long a pod drains at most.
	timeout time.Duration
	// arrivals are the calls that came, before what was wanted, used when a call last came or ended.
	arrivals window
	before   wishes
	used     time.Time
	// asleep says that the keeper does not look every second: the next call wakes it, also one that finds a slot.
	asleep bool
	// expected is about how many jobs waited in the app's queue at the time told.
	expected int
	told     time.Time
	// lastError says why the last start failed or the last pod ended, until a start succeeds; failed is the version that did not start.
	lastError string
	failed    uint32
	// room is closed when a slot is free again; nil if nobody wants to know.
	room chan struct{}
	// closed is why no more calls are taken.
	closed error
}

func newPool(d *dispatcher, key poolKey, app store.App) *pool {
	now := time.Now()
	p := &pool{dispatcher: d, key: key, poke: make(chan struct{}, 1), used: now, arrivals: newWindow(now)}
	p.waiting.own, p.waiting.all = newPlaces(d.maxHeld, d.maxHeldBytes), d.held
	p.follow(app)
	return p
}

// follow notes how the app is configured now.
func (p *pool) follow(app store.App) {
	p.active = app.ActiveVersion
	p.rules = rulesOf(app.Config, p.bounds)
	p.timeout = timeoutOf(app.Config)
}

// expectPatience is for how long it is believed how many jobs wait in a queue when nobody says so again.
const expectPatience = 30 * time.Second

// expect notes how many jobs wait in the app's queue.
func (p *pool) expect(queued int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected, p.told = queued, time.Now()
	signal(p.poke)
}

// queued is how many jobs wait in the app's queue, as far as is known.
func (p *pool) queued(now time.Time) int {
	if now.Sub(p.told) >= expectPatience {
		return 0
	}
	return p.expected
}

// acquire answers a slot at once if one is free and nobody came before, or waits in line until the cold-start budget,
// counted from when the errand began, is spent or ctx ends. active is the app's version as the caller saw it.
func (p *pool) acquire(ctx context.Context, active uint32, e *errand) (grant, error) {
	on, w, err := p.enter(active, e)
	switch {
	case err != nil:
		return grant{}, err
	case on != nil:
		return grant{pool: p, on: on, waited: time.Since(e.began)}, nil
	}
	if err := p.await(ctx, w, e.began); err != nil {
		return grant{}, err
	}
	return grant{pool: p, on: w.on, waited: time.Since(e.began), cold: w.cold}, nil
}

// enter answers a free slot, or a place in line, or why the call cannot have either.
func (p *pool) enter(active uint32, e *errand) (*instance, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return nil, nil, p.closed
	}
	now := time.Now()
	if !e.counted {
		p.arrivals.add(now)
		e.counted = true
	}
	if on := p.free(); on != nil && p.waiting.length() == 0 {
		on.used++
		p.wakeKeeper()
		return on, nil, nil
	}
	if err := p.refusal(now, active); err != nil {
		return nil, nil, err
	}
	w, err := p.waiting.join(e.from, e.held, p.serving() == 0)
	if err != nil {
		return nil, nil, err
	}
	signal(p.poke)
	return nil, w, nil
}

// wakeKeeper lets the keeper notice that there are calls again. From then on it looks by itself until there are none.
func (p *pool) wakeKeeper() {
	if p.asleep {
		p.asleep = false
		signal(p.poke)
	}
}

// await waits until w has a slot or an error. A slot that came too late goes to the next.
func (p *pool) await(ctx context.Context, w *waiter, began time.Time) error {
	patience := time.NewTimer(p.budget - time.Since(began))
	defer patience.Stop()
	var reason error
	select {
	case <-w.ready:
		return w.err
	case <-ctx.Done():
		reason = context.Cause(ctx)
	case <-patience.C:
		reason = &pod.TimeoutError{Clock: pod.ClockColdStart, Limit: p.budget}
	}
	p.abandon(w)
	return reason
}

func (p *pool) abandon(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch left := p.waiting.leave(w); {
	case left:
		p.offerRoom()
	case w.on != nil:
		p.vacate(w.on)
	}
}

func (p *pool) release(on *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vacate(on)
}

// vacate gives a slot back, and on to the first call in line.
func (p *pool) vacate(on *instance) {
	on.used--
	p.used = time.Now()
	if on.leaving && on.used == 0 {
		signal(on.moved)
	}
	p.serveLine()
}

// serveLine hands out free slots in the order of the line, and tells who waits for room if some are left.
func (p *pool) serveLine() {
	for p.waiting.length() > 0 {
		on := p.free()
		if on == nil {
			return
		}
		on.used++
		p.waiting.serve(on)
	}
	p.offerRoom()
}

// refuse gives every call in line err.
func (p *pool) refuse(err error) {
	p.waiting.refuse(err)
	p.tellRoom()
}

// free answers the pod in service with the fewest calls, if it has a free slot; of equals one of the active version.
func (p *pool) free() *instance {
	var best *instance
	for _, i := range p.pods {
		if i.leaving || i.used >= p.rules.slots {
			continue
		}
		if best == nil || i.used < best.used || i.used == best.used && i.version == p.active && best.version != p.active {
			best = i
		}
	}
	return best
}

// serving counts the pods in service.
func (p *pool) serving() int {
	n := 0
	for _, i := range p.pods {
		if !i.leaving {
			n++
		}
	}
	return n
}

// condemn takes a pod out of service, for good, that could not be reached.
func (p *pool) condemn(on *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	on.condemned = true
	p.retire(on, p.timeout)
	signal(p.poke)
}

// close refuses all calls from now on with err, those that wait too, and takes all pods out of service; calls in them
// may take as long as patience.
func (p *pool) close(err error, patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return
	}
	p.closed = err
	p.refuse(err)
	for _, c := range p.coming {
		c.cancel(err)
	}
	for _, i := range p.pods {
		p.retire(i, patience)
		signal(i.moved) // it may be frozen
	}
	signal(p.poke)
}
