package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"
)

const (
	// poll is how often an idle watcher reads again: core messages are not promised.
	poll = 15 * time.Second
	// retry is how long a watcher waits after a read that got no answer, patience how long it goes on so.
	retry    = time.Second
	patience = time.Minute
	// replicaPause is given to a replica that is behind its leader.
	replicaPause = 20 * time.Millisecond
)

// Event is something that a watcher of one execution may have to do. Exactly one field is set.
type Event struct {
	// Chunk is output, in order and without a gap within an attempt. It is shared by all watchers of the
	// execution and must not be changed.
	Chunk *Chunk
	// Record says that the record changed, or may have; read it again.
	Record bool
	// Settled follows each Record, after all the chunks that were stored when the Record event was over. So
	// whoever read a terminal record at a Record event has had all of its output once Settled comes, and not before:
	// the record may be newer than the change that was told.
	Settled bool
}

// Watch follows one execution from the chunk at index `from` of attempt `attempt` on; later attempts follow from their first. Attempt 0 is
// the first whose output is stored. The first event has Record set. A chunk that is not there yet is waited for.
//
// It never misses silently: a reader that is slow is served at its own pace from the stream, and output that is
// gone is ErrLost. It ends with ctx, or with an error as its last pair; a connection that comes back within a minute
// is no error. Nothing of JetStream is held while it waits.
func (s *Stream) Watch(ctx context.Context, execution string, attempt uint32, from int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := s.watch(ctx, execution, position{attempt: attempt, index: from}, func(e Event) bool { return yield(e, nil) })
		if err != nil && ctx.Err() == nil && !errors.Is(err, errStopped) {
			yield(Event{}, fmt.Errorf("watch %s: %w", execution, err))
		}
	}
}

// watch subscribes first, so that between what it reads and what it hears nothing is lost.
func (s *Stream) watch(ctx context.Context, execution string, from position, yield func(Event) bool) error {
	if err := checkExecution(execution); err != nil {
		return err
	}
	w := newWatcher(execution, from)
	leave, err := s.hub.add(ctx, watchSubjects(execution), w)
	if err != nil {
		return err
	}
	defer leave()
	return s.follow(ctx, w, yield)
}

// follow gives the watcher's reader what was handed over in memory, else what the stream has.
func (s *Stream) follow(ctx context.Context, w *watcher, yield func(Event) bool) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	var failing time.Time
	for {
		err := s.give(ctx, w, yield)
		switch {
		case err == nil:
			failing = time.Time{}
		case !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrClosed) || tired(&failing):
			return err
		default:
			w.postpone()
		}
		timer.Reset(pause(err))
		if err == nil && !w.settled() {
			continue
		}
		if err := s.wait(ctx, w, timer); err != nil {
			return err
		}
	}
}

// tired reports whether it is too long since reading began to fail.
func tired(failing *time.Time) bool {
	if failing.IsZero() {
		*failing = time.Now()
	}
	return time.Since(*failing) > patience
}

func pause(err error) time.Duration {
	if err != nil {
		return retry
	}
	return pollPause()
}

// pollPause is poll, more or less a fifth, so that those who wait do not read all at once.
func pollPause() time.Duration {
	return poll + time.Duration((rand.Float64()-0.5)*0.4*float64(poll))
}

func (s *Stream) wait(ctx context.Context, w *watcher, timer *time.Timer) error {
	select {
	case <-w.woken:
		return nil
	case <-timer.C:
		w.change()
		return nil
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// give yields everything that is there now. The stream is read after the record was told of, because only that can
// find all that was stored before what the reader reads then. Nor is it read before: nobody gets output who has not read the record, which
// may not be theirs.
func (s *Stream) give(ctx context.Context, w *watcher, yield func(Event) bool) error {
	news := w.collect()
	for _, chunk := range news.ready {
		if !yield(Event{Chunk: chunk}) {
			return errStopped
		}
	}
	if !news.record {
		if news.stale {
			return s.giveStored(ctx, w, yield)
		}
		return nil
	}
	if !yield(Event{Record: true}) {
		return errStopped
	}
	if err := s.giveStored(ctx, w, yield); err != nil {
		return err
	}
	if !yield(Event{Settled: true}) {
		return errStopped
	}
	return nil
}

// giveStored yields what the stream has after the watcher's place.
func (s *Stream) giveStored(ctx context.Context, w *watcher, yield func(Event) bool) error {
	if from, wanted := w.seek(); wanted {
		from, after, err := s.seek(ctx, w.execution, from)
		if err != nil {
			return err
		}
		w.begin(from, after)
	}
	for {
		err := s.giveBatches(ctx, w, yield)
		// Where it seems that something is missing, it may be stored before the place that was found.
		if errors.Is(err, ErrLost) && w.rewind() {
			continue
		}
		if err != nil || s.options.Replicas == 1 {
			return err
		}
		if caught, err := s.caughtUp(ctx, w); caught || err != nil {
			return err
		}
	}
}

// giveBatches yields what the stream has, until there is no more.
func (s *Stream) giveBatches(ctx context.Context, w *watcher, yield func(Event) bool) error {
	for more := true; more; {
		var chunks []stored
		var err error
		if chunks, more, err = s.reader.read(ctx, w.execution, w.sequence()); err != nil {
			return err
		}
		for _, chunk := range chunks {
			next, err := w.read(chunk)
			if err != nil {
				return err
			}
			if next && !yield(Event{Chunk: chunk.chunk}) {
				return errStopped
			}
		}
	}
	return nil
}

// caughtUp reports whether the watcher has read all that the stream's leader has. Any replica answers reads, and one may be behind
// without saying so; if it was, caughtUp returns after a moment.
func (s *Stream) caughtUp(ctx context.Context, w *watcher) (bool, error) {
	_, newest, err := s.lastMessage(ctx, outputStream, executionOutput(w.execution))
	if err != nil {
		return false, translate(ctx, err)
	}
	if w.sequence() >= newest {
		return true, nil
	}
	timer := time.NewTimer(replicaPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, nil
	case <-s.closing:
		return false, ErrClosed
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
