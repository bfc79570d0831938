package stream

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Changes yields once at first, and then whenever the execution's record changed or may have: read it again. Unlike Watch it is
// not concerned with output. It ends with ctx, or with an error as its last value. Changes that come while the loop's body runs are one.
func (s *Stream) Changes(ctx context.Context, execution string) iter.Seq[error] {
	return func(yield func(error) bool) {
		err := s.changes(ctx, execution, func() bool { return yield(nil) })
		if err != nil && ctx.Err() == nil {
			yield(fmt.Errorf("follow %s: %w", execution, err))
		}
	}
}

func (s *Stream) changes(ctx context.Context, execution string, yield func() bool) error {
	if err := checkExecution(execution); err != nil {
		return err
	}
	l := &listener{woken: make(chan struct{}, 1)}
	leave, err := s.hub.add(ctx, stateSubject(execution), l)
	if err != nil {
		return err
	}
	defer leave()
	timer := time.NewTimer(pollPause())
	defer timer.Stop()
	for yield() {
		timer.Reset(pollPause())
		select {
		case <-l.woken:
		case <-timer.C:
		case <-s.closing:
			return ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// listener hears only that there is something to hear.
type listener struct {
	// woken holds a token when there was a change.
	woken chan struct{}
}

func (l *listener) change()     { notify(l.woken) }
func (l *listener) lapse()      { notify(l.woken) }
func (l *listener) hear(stored) {}

func notify(woken chan<- struct{}) {
	select {
	case woken <- struct{}{}:
	default:
	}
}

// CancelTopic is where a worker hears which execution, whose record it held, was cancelled: Ask it with the id.
func CancelTopic(worker string) string { return "cancel-" + worker }
