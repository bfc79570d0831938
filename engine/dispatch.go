package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// catalog is what dispatching wants to know about apps; *store.Store fulfils it. App and Version answer from memory.
type catalog interface {
	App(ctx context.Context, ref store.AppRef) (store.App, error)
	Version(ctx context.Context, ref store.AppRef, number uint32) (store.Version, error)
	Code(ctx context.Context, hash string) (io.ReadCloser, error)
	Changed() <-chan struct{}
}

// dispatcher has one pool of pods for each app that is used: the one waking path of Invoke, direct calls and queued work.
type dispatcher struct {
	apps        catalog
	driver      pod.Driver
	provisioner Provisioner
	reserved    func() []store.App
	budget      time.Duration
	bounds      bounds
	// maxHeld and maxHeldBytes bound the calls of one app that wait; held are the places of all apps.
	maxHeld      int
	maxHeldBytes int64
	held         *places
	// turns bounds the starts of all apps.
	turns turns
	// warm is what frozen pods hold.
	warm warm
	// uses are the artifacts that pods run, and trials the pods that belong to no app's pool.
	uses   uses
	trials trials
	log    *slog.Logger

	// fresh tells run that there are pools in unkept.
	fresh chan struct{}
	// draining is closed by drain.
	draining chan struct{}

	mu     sync.RWMutex
	pools  map[poolKey]*pool
	unkept []*pool
	closed bool
}

// poolKey tells an app from a later one of the same name, which must not be served by the earlier one's pods.
type poolKey struct {
	store.AppRef
	incarnation string
}

func newDispatcher(c Config, apps catalog) *dispatcher {
	return &dispatcher{
		apps:         apps,
		driver:       c.Driver,
		provisioner:  c.Provisioner,
		reserved:     c.Reserved,
		budget:       c.ColdStartBudget,
		bounds:       bounds{replicas: c.MaxReplicas, scaledown: c.LeastScaledown},
		maxHeld:      c.MaxHeld,
		maxHeldBytes: c.MaxHeldBytes,
		held:         newPlaces(c.MaxHeldAll, c.MaxHeldBytesAll),
		turns:        newTurns(),
		trials:       newTrials(),
		warm:         warm{most: c.WarmPoolBytes},
		log:          c.Logger,
		fresh:        make(chan struct{}, 1),
		draining:     make(chan struct{}),
		pools:        make(map[poolKey]*pool),
	}
}

// queuedTries is how many pods that cannot be reached one attempt at queued work meets: it can wait for its next attempt elsewhere.
const queuedTries = 3

// do is carry for a call of which nothing is in memory, or that is counted elsewhere.
func (d *dispatcher) do(ctx context.Context, ref store.AppRef, from origin, fn func(grant) error) error {
	return d.carry(ctx, ref, errand{from: from}, fn)
}

// carry runs fn with a slot of a ready pod and takes the slot back when fn returns. A pod that turns out to be unreachable
// is taken out of service, and fn is run with another one inside the same budget.
func (d *dispatcher) carry(ctx context.Context, ref store.AppRef, e errand, fn func(grant) error) error {
	e.began = time.Now()
	pauses := backoff{least: 10 * time.Millisecond, most: 5 * time.Second}
	for tries := 1; ; tries++ {
		unreachable, err := d.try(ctx, ref, &e, fn)
		if !unreachable || e.from == queued && tries == queuedTries {
			return err
		}
		if time.Since(e.began) >= d.budget {
			return &pod.TimeoutError{Clock: pod.ClockColdStart, Limit: d.budget}
		}
		if err := pauses.wait(ctx); err != nil {
			return err
		}
	}
}

// try runs fn once, unless no pod can be had. unreachable says that fn ran and could not reach its pod.
func (d *dispatcher) try(ctx context.Context, ref store.AppRef, e *errand, fn func(grant) error) (unreachable bool, err error) {
	g, err := d.acquire(ctx, ref, e)
	if err != nil {
		return false, err
	}
	defer g.release()
	err = fn(g)
	if errors.Is(err, pod.ErrUnreachable) {
		g.pool.condemn(g.on)
		return true, err
	}
	return false, err
}

// acquire waits for a slot of the app's pods.
func (d *dispatcher) acquire(ctx context.Context, ref store.AppRef, e *errand) (grant, error) {
	for {
		app, err := d.app(ctx, ref)
		if err != nil {
			return grant{}, err
		}
		p, err := d.pool(app)
		if err != nil {
			return grant{}, err
		}
		g, err := p.acquire(ctx, app.ActiveVersion, e)
		if !errors.Is(err, errRetired) {
			return g, err
		}
	}
}

// app answers an app that has a version to serve.
func (d *dispatcher) app(ctx context.Context, ref store.AppRef) (store.App, error) {
	app, err := d.apps.App(ctx, ref)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.App{}, fmt.Errorf("%w: %w", pod.ErrAppGone, err)
	case err != nil:
		return store.App{}, fmt.Errorf("look up app %s: %w", ref, err)
	case app.ActiveVersion == 0:
		return store.App{}, pod.ErrNotPublished
	}
	return app, nil
}

// vacancies answers how many calls of the app could be taken on now; when it is none, the channel is closed when that may have changed.
func (d *dispatcher) vacancies(ctx context.Context, ref store.AppRef) (int, <-chan struct{}, error) {
	app, err := d.app(ctx, ref)
	if err != nil {
		return 0, nil, err
	}
	p, err := d.pool(app)
	if err != nil {
		return 0, nil, err
	}
	n, changed := p.vacancies()
	return n, changed, nil
}

// expect tells the pool of an app about how many jobs of its queue wait, so that they count as demand; the number holds until the next
// call, which comes at least every few seconds while there are any.
func (d *dispatcher) expect(ctx context.Context, ref store.AppRef, queued int) {
	app, err := d.app(ctx, ref)
	if err != nil {
		return // its takers hear of it
	}
	p := d.known(poolKey{ref, app.Incarnation})
	if p == nil && queued > 0 {
		p, _ = d.pool(app) // none is made while the engine drains
	}
	if p != nil {
		p.expect(queued)
	}
}

// signal makes a receiver of c look again; one pending signal is enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (d *dispatcher) isDraining() bool { return isClosed(d.draining) }
