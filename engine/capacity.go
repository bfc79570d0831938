package engine

import (
	"context"
	"errors"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/stream"
)

// room waits until jobs can be taken, reserves places for them, and answers how many.
func (t *taker) room(ctx context.Context) (int, error) {
	for {
		n, err := t.wanted(ctx)
		if err != nil {
			return 0, err
		}
		places, err := t.place.take(ctx, 1, int64(n))
		if err != nil {
			return 0, err
		}
		n, _, err = t.capacity(ctx) // time may have passed
		n = max(min(int(places), n), 0)
		t.place.release(places - int64(n))
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// wanted waits until the pods have room and answers for how many jobs.
func (t *taker) wanted(ctx context.Context) (int, error) {
	waited := false
	for {
		n, changes, err := t.capacity(ctx)
		if err != nil {
			return 0, err
		}
		switch {
		case n > 0 && !waited:
			allowed, wait := t.allowNow(n)
			if allowed > 0 {
				return allowed, nil
			}
			err = sleep(ctx, wait)
		case n > 0:
			waited = false
			err = sleep(ctx, gather)
		default:
			waited = true
			err = t.await(ctx, changes)
		}
		if err != nil {
			return 0, err
		}
	}
}

// allowNow leaves the calls of a backlog to start one after the other.
func (t *taker) allowNow(n int) (allowed int, wait time.Duration) {
	if t.left == 0 {
		return n, 0
	}
	return t.pace.allow(time.Now(), n, n+t.inHand(), t.places.inUse())
}

// changes are closed when there may be room: because of the pods, or of the app's settings.
type changes struct{ vacancies, settings <-chan struct{} }

func (t *taker) await(ctx context.Context, c changes) error {
	select {
	case <-c.vacancies:
	case <-c.settings:
	case <-t.moved:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// capacity answers how many jobs can be taken for the slots that are free, with no more outcomes in memory than there may be, and within the app's
// limit.
func (t *taker) capacity(ctx context.Context) (int, changes, error) {
	settings := t.dispatch.apps.Changed()
	limit := t.mostInFlight(ctx)
	vacant, vacancies, err := t.vacancies(ctx)
	if err != nil {
		return 0, changes{}, err
	}
	if limit == 0 {
		return t.allowed(vacant, maxInHand), changes{vacancies: vacancies}, nil
	}
	return t.allowed(vacant, limit), changes{vacancies, settings}, nil
}

// allowed takes off the slots that jobs between queue and slot are going to have.
func (t *taker) allowed(vacant, limit int) int {
	t.count.Lock()
	defer t.count.Unlock()
	outcomes := maxSettling - t.in[settling]
	return min(min(vacant, outcomes)-t.in[entering], limit-t.in[entering]-t.in[placed]-t.in[settling])
}

// mostInFlight answers how many calls of queued work the app wants at a time; 0 is as many as its pods have slots.
func (t *taker) mostInFlight(ctx context.Context) int {
	app, err := t.dispatch.apps.App(ctx, t.ref())
	if err != nil {
		return 0
	}
	return int(app.MaxAsyncInFlight)
}

// keepLimit tells the queue of a limit that has changed, and so all workers.
func (t *taker) keepLimit(ctx context.Context, queue *stream.Queue) error {
	limit := t.mostInFlight(ctx)
	if limit == t.limit {
		return nil
	}
	if err := queue.Limit(ctx, limit); err != nil {
		return err
	}
	t.limit = limit
	return nil
}

// vacancies answers how many of the app's calls could start now, and a channel that is closed when that may have changed.
func (t *taker) vacancies(ctx context.Context) (int, <-chan struct{}, error) {
	n, changed, err := t.dispatch.vacancies(ctx, t.ref())
	if errors.Is(err, pod.ErrAppGone) || errors.Is(err, pod.ErrNotPublished) {
		return hopeless, nil, nil
	}
	return n, changed, err
}
