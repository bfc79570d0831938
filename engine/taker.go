package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

const (
	// idleQueue is how long a taker listens to a queue that gives nothing: each open queue makes every
	// acknowledgement in its stream dearer.
	idleQueue = 10 * time.Second
	// maxSettling bounds the jobs of one app whose outcome is being stored; they hold no slot any more, but their results are in memory.
	maxSettling = 256
	// gather is how long a taker waits for more slots once one is free while work waits: one request to the queue for several jobs.
	gather = time.Millisecond
	// askAgain is how often a taker asks for a place that others have: nobody tells it when they give one back.
	askAgain = time.Second
	// hopeless is how many jobs are taken at once of an app that cannot run them, to end them.
	hopeless = 16
)

// taker takes one app's work, as much as the app's pods have free slots for.
type taker struct {
	*worker
	app stream.App
	// woken is guarded by the worker's lock.
	woken bool
	jobs  sync.WaitGroup
	// moved tells that a job is in another phase.
	moved chan struct{}

	count sync.Mutex
	// in counts the jobs in each phase.
	in [ended + 1]int
}

func newTaker(w *worker, app stream.App) *taker {
	return &taker{worker: w, app: app, moved: make(chan struct{}, 1)}
}

// run takes work until the app has none or taking ends, and returns when its jobs have ended.
func (t *taker) run(taking, calls context.Context) {
	defer t.jobs.Wait()
	t.budget.enter()
	defer t.budget.leave()
	pauses := backoff{least: 100 * time.Millisecond, most: 5 * time.Second}
	for {
		err := t.serve(taking, calls)
		switch {
		case taking.Err() != nil:
			return
		case err != nil:
			t.log.WarnContext(taking, "work cannot be taken", slog.String("app", t.ref().String()), slog.Any("error", err))
			_ = pauses.wait(taking) // serve looks at taking
		case t.rest(t):
			return
		default:
			pauses.reset()
		}
	}
}

func (t *taker) ref() store.AppRef { return store.AppRef{Org: t.app.Org, Name: t.app.Name} }

// serve opens the queue and takes from it until it is empty; nil says that it is. While any worker holds some of the app's work somebody has to
// listen: if that worker dies, nobody tells that its work can be had.
func (t *taker) serve(taking, calls context.Context) error {
	queue, err := t.stream.Queue(taking, t.app)
	if err != nil {
		return err
	}
	defer t.closeQueue(taking, queue)
	for taking.Err() == nil {
		n, err := t.room(taking)
		if err != nil {
			return err
		}
		took, err := t.take(taking, calls, queue, n, 0)
		if err == nil && took == 0 {
			took, err = t.listen(taking, calls, queue)
		}
		if err != nil {
			return err
		}
		if took > 0 || !t.isIdle() {
			continue
		}
		if empty, err := queue.Empty(taking); empty || err != nil {
			return err
		}
	}
	return nil // run looks at taking
}

// listen waits for the next job of a queue that had none. It asks for one only: an app that has no work is not to keep places from others.
func (t *taker) listen(taking, calls context.Context, queue *stream.Queue) (took int, err error) {
	if t.budget.reserve(1, t.inHand()) == 0 {
		return 0, nil
	}
	return t.take(taking, calls, queue, 1, t.idle)
}

// take begins up to n jobs, whose places are reserved, and answers how many there were.
func (t *taker) take(taking, calls context.Context, queue *stream.Queue, n int, wait time.Duration) (took int, err error) {
	defer func() { t.budget.release(n - took) }()
	for job, err := range queue.Take(taking, n, wait) {
		if err != nil {
			return took, err
		}
		took++
		t.begin(calls, job)
	}
	return took, nil
}

func (t *taker) closeQueue(ctx context.Context, queue *stream.Queue) {
	if err := queue.Close(); err != nil {
		t.log.DebugContext(ctx, "queue not closed", slog.String("app", t.app.String()), slog.Any("error", err))
	}
}

// begin runs a job in a goroutine of its own, which run waits for.
func (t *taker) begin(calls context.Context, job *stream.Job) {
	at := &progress{taker: t}
	at.move(entering)
	t.jobs.Go(func() {
		defer at.move(ended)
		t.handle(calls, job, at)
	})
}

// phase is where a job is on its way through this worker.
type phase int

const (
	unknown  phase = iota
	entering       // taken, without a slot
	placed         // in a pod
	settling       // its outcome is being stored
	ended
)

// progress counts one job in its phase. It is not for concurrent use.
type progress struct {
	taker *taker
	now   phase
}

func (p *progress) move(next phase) {
	p.taker.count.Lock()
	defer p.taker.count.Unlock()
	if p.now < settling && next >= settling {
		p.taker.budget.release(1)
	}
	p.taker.in[p.now]--
	p.taker.in[next]++
	p.now = next
	signal(p.taker.moved)
}

// inHand counts the jobs whose places are reserved.
func (t *taker) inHand() int {
	t.count.Lock()
	defer t.count.Unlock()
	return t.in[entering] + t.in[placed]
}

func (t *taker) isIdle() bool {
	t.count.Lock()
	defer t.count.Unlock()
	return t.in[entering]+t.in[placed]+t.in[settling] == 0
}

// room waits until jobs can be taken, reserves places for them, and answers how many.
func (t *taker) room(ctx context.Context) (int, error) {
	waited := false
	for {
		vacant, changed, err := t.vacancies(ctx)
		if err != nil {
			return 0, err
		}
		n := t.allowed(vacant)
		if n > 0 && waited {
			waited = false
			if err := sleep(ctx, gather); err != nil {
				return 0, err
			}
			continue
		}
		reserved := t.budget.reserve(n, t.inHand())
		if reserved > 0 {
			return reserved, nil
		}
		waited = true
		if err := t.await(ctx, changed, n > 0); err != nil {
			return 0, err
		}
	}
}

// await returns when there may be room: for a job of the app, or, if others have the places, in the process.
func (t *taker) await(ctx context.Context, changed <-chan struct{}, taken bool) error {
	var again <-chan time.Time
	if taken {
		again = time.After(askAgain)
	}
	select {
	case <-changed:
	case <-t.moved:
	case <-again:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// allowed takes off what is between queue and slot already, and stays under the bound of outcomes in memory.
func (t *taker) allowed(vacant int) int {
	t.count.Lock()
	defer t.count.Unlock()
	return min(vacant, maxSettling-t.in[settling]) - t.in[entering]
}

// vacancies answers how many of the app's calls could start now, and a channel that is closed when that may have changed.
func (t *taker) vacancies(ctx context.Context) (int, <-chan struct{}, error) {
	n, changed, err := t.dispatch.vacancies(ctx, t.ref())
	if errors.Is(err, pod.ErrAppGone) || errors.Is(err, pod.ErrNotPublished) {
		return hopeless, nil, nil
	}
	return n, changed, err
}
