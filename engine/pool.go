package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
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
	// coming is the start under way, or nil.
	coming *coming
	fault  fault
	// active is the version that serves or shall serve, as the keeper last saw it.
	active uint32
	// timeout is how long one call may take, and therefore how long a pod drains at most.
	timeout time.Duration
	// used is when a call last came or ended.
	used time.Time
	// expected is about how many jobs wait in the app's queue.
	expected int
	// lastError says why the last start failed or the last pod ended, until a start succeeds.
	lastError string
	// room is closed when a slot is free again; nil if nobody wants to know.
	room chan struct{}
	// closed is why no more calls are taken.
	closed error
}

func newPool(d *dispatcher, key poolKey) *pool {
	return &pool{dispatcher: d, key: key, poke: make(chan struct{}, 1), used: time.Now(), timeout: defaultTimeout}
}

func (p *pool) expect(queued int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = queued
	signal(p.poke)
}

// grant is a slot in the hands of a call.
type grant struct {
	pool   *pool
	on     *instance
	waited time.Duration
	cold   bool
}

func (g grant) release() { g.pool.release(g.on) }

func (g grant) target() pod.Target {
	return pod.Target{
		Addr:         g.on.pod.Addr(),
		Pod:          g.on.pod.Name(),
		Version:      g.on.version,
		Waited:       g.waited,
		Cold:         g.cold,
		OutOfService: g.on.outOfService,
	}
}

// acquire answers a slot at once if one is free and nobody came before, or waits in line until the cold-start budget,
// counted from began, is spent or ctx ends. active is the app's version as the caller saw it.
func (p *pool) acquire(ctx context.Context, active uint32, from origin, began time.Time) (grant, error) {
	on, w, err := p.enter(active, from)
	switch {
	case err != nil:
		return grant{}, err
	case on != nil:
		return grant{pool: p, on: on, waited: time.Since(began)}, nil
	}
	if err := p.await(ctx, w, began); err != nil {
		return grant{}, err
	}
	return grant{pool: p, on: w.on, waited: time.Since(began), cold: w.cold}, nil
}

// enter answers a free slot, or a place in line, or why the call cannot have either.
func (p *pool) enter(active uint32, from origin) (*instance, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return nil, nil, p.closed
	}
	if on := p.free(); on != nil && p.waiting.length() == 0 {
		on.used++
		return on, nil, nil
	}
	serving := p.serving() > 0
	if !serving && p.coming == nil {
		if err := p.fault.refusal(time.Now(), active); err != nil {
			return nil, nil, err
		}
	}
	if p.waiting.length() >= p.maxHeld {
		return nil, nil, pod.ErrBusy
	}
	signal(p.poke)
	return nil, p.waiting.join(from, !serving), nil
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
		reason = &pod.TimeoutError{Clock: "cold start", Limit: p.budget}
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
	if on.leaving() && on.used == 0 {
		close(on.empty)
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

// offerRoom wakes who waits for room if there may be some: a free slot, or no pod, so that a new one would be started.
func (p *pool) offerRoom() {
	if p.free() != nil || p.serving() == 0 {
		p.tellRoom()
	}
}

// refuse gives every call in line err.
func (p *pool) refuse(err error) {
	p.waiting.refuse(err)
	p.tellRoom()
}

// free answers the pod in service with the fewest calls, if it has a free slot.
func (p *pool) free() *instance {
	var best *instance
	for _, i := range p.pods {
		if !i.leaving() && i.used < i.slots && (best == nil || i.used < best.used) {
			best = i
		}
	}
	return best
}

// serving counts the pods in service.
func (p *pool) serving() int {
	n := 0
	for _, i := range p.pods {
		if !i.leaving() {
			n++
		}
	}
	return n
}

// condemn takes a pod out of service that could not be reached.
func (p *pool) condemn(on *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
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
	if p.coming != nil {
		p.coming.cancel(err)
	}
	for _, i := range p.pods {
		p.retire(i, patience)
	}
	signal(p.poke)
}

// tellRoom wakes who waits for a slot without standing in line.
func (p *pool) tellRoom() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// vacancies answers how many calls could start now; when it is none, the channel is closed when it may have changed.
// While no pod serves it is what a new one will take, queued calls not counted: their taker does that.
func (p *pool) vacancies(slots int) (int, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return 0, closedChannel
	}
	if p.serving() == 0 {
		n := max(slots-p.waiting.from[direct], 0)
		return n, p.roomUnless(n > 0)
	}
	n := 0
	for _, i := range p.pods {
		if !i.leaving() {
			n += max(i.slots-i.used, 0)
		}
	}
	return n, p.roomUnless(n > 0)
}

// roomUnless answers the channel that is closed when a slot is free again, or none if there is room now.
func (p *pool) roomUnless(now bool) <-chan struct{} {
	if now {
		return nil
	}
	if p.room == nil {
		p.room = make(chan struct{})
	}
	return p.room
}

// closedChannel is for those who wait for what will not come.
var closedChannel = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
