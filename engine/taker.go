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
	// limitedPull is how long a pull from a queue with a limit stays open: JetStream does not say at once that others hold as much as all may.
	limitedPull = 100 * time.Millisecond
	// limitedListen is how long a taker listens to a queue with a limit before it looks whether there is another limit.
	limitedListen = time.Second
	// maxSettling bounds the jobs of one app whose outcome is being stored; they hold no slot any more, but their results are in memory.
	maxSettling = 256
	// gather is how long a taker waits for more slots once one is free while work waits: one request to the queue for several jobs.
	gather = time.Millisecond
	// hopeless is how many jobs are taken at once of an app that cannot run them, to end them.
	hopeless = 16
	// largestPull is how many jobs of the largest size memory is set aside for in one pull.
	largestPull = 16
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
	// place, body and object are the app's shares of the process.
	place, body, object *share
	forecast            forecast
	// limit is the bound that the queue knows of.
	limit int

	count sync.Mutex
	// in counts the jobs in each phase.
	in [ended + 1]int
}

func newTaker(w *worker, app stream.App) *taker {
	t := &taker{worker: w, app: app, moved: make(chan struct{}, 1)}
	t.forecast.tell = func(waiting int) { w.dispatch.expect(context.Background(), t.ref(), waiting) } // answered from memory
	return t
}

// run takes work until the app has none or taking ends, and returns when its jobs have ended.
func (t *taker) run(taking, calls context.Context) {
	t.place, t.body, t.object = t.places.open(t.app), t.bodies.open(t.app), t.objects.open(t.app)
	defer t.closeShares()
	defer t.jobs.Wait()
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

func (t *taker) closeShares() {
	t.place.close()
	t.body.close()
	t.object.close()
}

func (t *taker) ref() store.AppRef { return store.AppRef{Org: t.app.Org, Name: t.app.Name} }

// serve opens the queue and takes from it until it is empty; nil says that it is.
func (t *taker) serve(taking, calls context.Context) error {
	t.limit = t.mostInFlight(taking)
	queue, err := t.stream.LimitedQueue(taking, t.app, t.limit)
	if err != nil {
		return err
	}
	defer t.closeQueue(taking, queue)
	following, stop := context.WithCancel(taking)
	var forecast sync.WaitGroup
	forecast.Go(func() { t.forecast.follow(following, queue, t.log) })
	defer forecast.Wait()
	defer stop()
	return t.takeAll(taking, calls, queue)
}

// takeAll takes until the queue is empty. While any worker holds some of the app's work somebody has to listen: if that worker dies, nobody
// tells that its work can be had.
func (t *taker) takeAll(taking, calls context.Context, queue *stream.Queue) error {
	for taking.Err() == nil {
		n, err := t.room(taking)
		if err != nil {
			return err
		}
		took, err := t.take(taking, calls, queue, n)
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

// take begins up to n jobs, whose places are reserved, and answers how many there were.
func (t *taker) take(taking, calls context.Context, queue *stream.Queue, n int) (took int, err error) {
	defer func() { t.place.release(int64(n - took)) }()
	if err := t.keepLimit(taking, queue); err != nil {
		return 0, err
	}
	bytes, err := t.body.take(taking, stream.LargestWork, int64(min(n, largestPull))*stream.LargestWork)
	if err != nil {
		return 0, err
	}
	left := bytes
	defer func() { t.body.release(left) }()
	if bytes >= int64(n)*stream.LargestWork {
		bytes = 0 // they fit, whatever they are
	}
	for job, err := range queue.TakeBytes(taking, n, bytes, t.pullWait()) {
		if err != nil {
			return took, err
		}
		took++
		left -= sizeOf(job)
		t.begin(calls, job)
	}
	t.forecast.learn(queue.Waiting())
	return took, nil
}

// sizeOf is what a job has in memory of what its pull set aside.
func sizeOf(job *stream.Job) int64 { return int64(len(job.Request) + len(job.Body)) }

// pullWait is how long a pull waits for jobs beyond those that are there.
func (t *taker) pullWait() time.Duration {
	if t.limit > 0 {
		return limitedPull
	}
	return 0
}

func (t *taker) listenWait() time.Duration {
	if t.limit > 0 {
		return min(t.idle, limitedListen)
	}
	return t.idle
}

// listen waits for the next job of a queue that had none. It asks for one only, and for one that would be the app's first it keeps no place and no
// memory: an app that has no work is not to keep them from others.
func (t *taker) listen(taking, calls context.Context, queue *stream.Queue) (took int, err error) {
	kept := int64(0)
	if t.inHand() > 0 {
		if kept = t.place.try(1, 1); kept == 0 {
			return 0, nil // room waits
		}
	}
	defer func() { t.place.release(kept) }()
	for job, err := range queue.Take(taking, 1, t.listenWait()) {
		if err != nil {
			return took, err
		}
		size := sizeOf(job)
		if t.body.try(size, size) < size {
			return 0, job.Return(context.WithoutCancel(taking), 0) // take waits for memory
		}
		if kept == 0 {
			kept = t.place.try(1, 1) // the first is never refused
		}
		kept--
		took++
		t.begin(calls, job)
	}
	t.forecast.learn(queue.Waiting())
	return took, nil
}

func (t *taker) closeQueue(ctx context.Context, queue *stream.Queue) {
	if err := queue.Close(); err != nil {
		t.log.DebugContext(ctx, "queue not closed", slog.String("app", t.app.String()), slog.Any("error", err))
	}
}

// begin runs a job in a goroutine of its own, which run waits for.
func (t *taker) begin(calls context.Context, job *stream.Job) {
	at := &progress{taker: t, body: sizeOf(job)}
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
	// body and object are the bytes that it has.
	body, object int64
}

func (p *progress) move(next phase) {
	p.count(next)
	if p.now < settling && next >= settling {
		p.taker.place.release(1)
	}
	if next == ended {
		p.taker.body.release(p.body)
		p.taker.object.release(p.object)
	}
	p.now = next
	signal(p.taker.moved)
}

func (p *progress) count(next phase) {
	p.taker.count.Lock()
	defer p.taker.count.Unlock()
	p.taker.in[p.now]--
	p.taker.in[next]++
}

// makeRoom waits until the process has memory for a large body of the job. It keeps it until the job has ended.
func (p *progress) makeRoom(ctx context.Context, bytes int64) (err error) {
	p.object, err = p.taker.object.take(ctx, bytes, bytes)
	return err
}

// inHand counts the jobs that have a place.
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
			return n, nil
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
