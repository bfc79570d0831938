package engine

import (
	"context"
	"maps"
	"slices"
	"sync"

	"dodil.io/ignite/store"
)

// pool answers the app's pool, making it if it is missing.
func (d *dispatcher) pool(app store.App) (*pool, error) {
	key := poolKey{app.AppRef, app.Incarnation}
	d.mu.RLock()
	p, closed := d.pools[key], d.closed
	d.mu.RUnlock()
	if closed {
		return nil, errStopping
	}
	if p != nil {
		return p, nil
	}
	return d.addPool(key, app)
}

// known answers the pool that there is, or nil.
func (d *dispatcher) known(key poolKey) *pool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.pools[key]
}

func (d *dispatcher) addPool(key poolKey, app store.App) (*pool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errStopping
	}
	if p := d.pools[key]; p != nil {
		return p, nil
	}
	p := newPool(d, key, app)
	d.pools[key] = p
	d.unkept = append(d.unkept, p)
	signal(d.fresh)
	return p, nil
}

// run keeps every pool until drain, and returns when all of them have no pod left, and trials neither. ctx's end stops pods at once.
func (d *dispatcher) run(ctx context.Context) {
	defer d.endTrials(ctx)
	var keepers sync.WaitGroup
	defer keepers.Wait()
	for {
		changed := d.apps.Changed()
		d.wakeReserved()
		for _, p := range d.takeUnkept() {
			keepers.Go(func() { p.keep(ctx) })
		}
		select {
		case <-d.fresh:
		case <-changed:
		case <-d.draining:
			return
		}
	}
}

// wakeReserved makes the pools of apps that want a pod without being called; their keepers do the rest.
func (d *dispatcher) wakeReserved() {
	if d.reserved == nil {
		return
	}
	for _, app := range d.reserved() {
		if _, err := d.pool(app); err != nil {
			return // draining
		}
	}
}

func (d *dispatcher) takeUnkept() []*pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	unkept := d.unkept
	d.unkept = nil
	return unkept
}

// forget lets run look again, too: pods may have been reserved for the app while it had this pool still.
func (d *dispatcher) forget(p *pool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pools[p.key] == p {
		delete(d.pools, p.key)
		signal(d.fresh)
	}
}

// drain refuses new calls and those that wait for a pod. Calls in pods go on.
func (d *dispatcher) drain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.closed = true
	close(d.draining)
	for _, p := range d.pools {
		p.close(errStopping, forever)
	}
}

// all answers the pools that there are now.
func (d *dispatcher) all() []*pool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Collect(maps.Values(d.pools))
}
