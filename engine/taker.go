package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

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
	pace                pace
	// limit is the bound that the queue knows of, left how many jobs waited there after the last take.
	limit, left int

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
		if took > 0 || t.inHand() > 0 {
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
	t.left = queue.Waiting()
	t.pace.start(took)
	t.forecast.learn(t.left)
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
	t.left = queue.Waiting()
	t.forecast.learn(t.left)
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
