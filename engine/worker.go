package engine

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// sweepEvery bounds how long work waits whose announcement was lost.
const sweepEvery = 30 * time.Second

// worker takes queued work and runs it: one taker for each app that has some.
type worker struct {
	name      string
	store     *store.Store
	stream    *stream.Stream
	dispatch  *dispatcher
	client    *pod.Client
	maxResult int64
	// maxPlatformFailures is how many attempts at one execution may fail for reasons of the platform.
	maxPlatformFailures int
	reached             func(Boundary)
	log                 *slog.Logger
	hands               hands
	// places, bodies and objects are shared out among the apps that have work: jobs in hand, and the bytes of their requests.
	places, bodies, objects *budget
	gate                    gate
	metrics                 metrics
	reapAfter               time.Duration
	// renewEvery, idle and roomAgain are constants but for tests, and now is the clock that due times and ages are judged by.
	renewEvery, idle, roomAgain time.Duration
	now                         func() time.Time
	// soon asks for a sweep.
	soon chan struct{}

	mu     sync.Mutex
	takers map[stream.App]*taker
}

func newWorker(c Config, d *dispatcher, m metrics) *worker {
	return &worker{
		name:                c.Worker,
		store:               c.Store,
		stream:              c.Stream,
		dispatch:            d,
		client:              pod.NewClient(),
		maxResult:           c.MaxResultBytes,
		maxPlatformFailures: c.MaxPlatformFailures,
		reached:             c.Reached,
		log:                 c.Logger.With(slog.String("worker", c.Worker)),
		places:              newBudget(maxInHand, 1),
		bodies:              newBudget(maxBodyBytes, 0),
		objects:             newBudget(maxObjectBytes, 0),
		gate:                newGate(c.Store.Creating),
		metrics:             m,
		reapAfter:           c.ReapAfter,
		renewEvery:          renewEvery,
		idle:                idleQueue,
		roomAgain:           roomAgain,
		now:                 time.Now,
		soon:                make(chan struct{}, 1),
		takers:              make(map[stream.App]*taker),
	}
}

func (w *worker) sweepSoon() { signal(w.soon) }

// run takes work until taking ends and returns when every job that was taken has ended or was given back. The end of
// calls cuts those that still run.
func (w *worker) run(taking, calls context.Context) {
	renewing, stopRenewing := context.WithCancel(context.WithoutCancel(calls))
	var renewal, search, takers sync.WaitGroup
	renewal.Go(func() {
		w.hands.renew(renewing, w.renewEvery, func() { w.review(renewing, w.renewEvery) }, w.log)
	})
	w.answerHolder(renewing)
	w.hearCancellations(renewing)
	wake := func(app stream.App) {
		if t := w.wake(app); t != nil {
			takers.Go(func() { t.run(taking, calls) })
		}
	}
	search.Go(func() { w.listen(taking, wake) })
	search.Go(func() { w.sweep(taking, wake) })
	search.Go(func() { w.moveDue(taking, w.stream.MoveDue) })
	search.Go(func() { w.reap(taking, w.reapAfter) })
	search.Wait()
	takers.Wait()
	stopRenewing()
	renewal.Wait()
	w.client.Close()
}

// wake answers a new taker for an app that has none; the taker that is there looks again before it ends.
func (w *worker) wake(app stream.App) *taker {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.takers[app]; t != nil {
		t.woken = true
		t.forecast.grow()
		return nil
	}
	t := newTaker(w, app)
	w.takers[app] = t
	return t
}

// rest ends a taker, unless its app was woken since it looked last.
func (w *worker) rest(t *taker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.woken {
		t.woken = false
		return false
	}
	delete(w.takers, t.app)
	return true
}

// listen hears of apps that get work, until ctx ends.
func (w *worker) listen(ctx context.Context, wake func(stream.App)) {
	pauses := backoff{least: time.Second, most: sweepEvery}
	for ctx.Err() == nil {
		wakes, err := w.stream.Wakes(ctx)
		if err != nil {
			w.retry(ctx, &pauses, fmt.Errorf("listen for wakes: %w", err))
			continue
		}
		pauses.reset()
		w.sweepSoon()
		for app := range wakes {
			wake(app)
		}
	}
}

// sweep finds work that nobody heard of: at first, every half minute, and when it is asked to, until ctx ends.
func (w *worker) sweep(ctx context.Context, wake func(stream.App)) {
	pauses := backoff{least: time.Second, most: sweepEvery}
	for ctx.Err() == nil {
		apps, err := w.stream.Waiting(ctx)
		if err != nil {
			w.retry(ctx, &pauses, err)
			continue
		}
		pauses.reset()
		for _, app := range apps {
			wake(app)
		}
		w.untilSweep(ctx)
	}
}

// retry says why work is not looked for and pauses, unless ctx has ended.
func (w *worker) retry(ctx context.Context, pauses *backoff, err error) {
	if ctx.Err() != nil {
		return
	}
	w.log.WarnContext(ctx, "cannot look for work", slog.Any("error", err))
	_ = pauses.wait(ctx) // callers look at ctx
}

func (w *worker) untilSweep(ctx context.Context) {
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.soon:
	case <-timer.C:
	}
}
