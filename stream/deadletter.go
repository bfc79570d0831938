package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

const (
	// lettersAtOnce is how many executions DeadLetters asks for, asking of letterQuestions at a time: there is no one question
	// for many subjects that does not answer with their bodies.
	lettersAtOnce   = 1000
	letterQuestions = 16
)

func deadConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              deadStream,
		Description:       "requests of executions that ended badly",
		Subjects:          []string{allDead},
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		MaxBytes:          max(o.MaxWorkBytes/2, 1),
		MaxMsgsPerSubject: 1,
		AllowMsgTTL:       true,
		Replicas:          o.Replicas,
		Storage:           jetstream.FileStorage,
		Duplicates:        duplicates,
	}
}

// KeepDeadLetter stores the work of an execution that ended badly until expires, in place of what is kept for it already. Acknowledged but not
// synced on return. When there is no room the oldest give way.
func (s *Stream) KeepDeadLetter(ctx context.Context, w Work, expires time.Time) error {
	if err := w.check(); err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	err := s.publish(ctx, encodeWork(w, deadSubject(w.App, w.Execution)), expiry(expires))
	if err != nil {
		return fmt.Errorf("keep dead letter of %s: %w", w.Execution, translate(ctx, err))
	}
	return nil
}

// expiry lets a message go at a time, or up to a second later: JetStream counts whole seconds, at least one.
func expiry(at time.Time) jetstream.PublishOpt {
	seconds := time.Until(at).Truncate(time.Second) + time.Second
	return jetstream.WithMsgTTL(max(seconds, time.Second))
}

// DeadLetter answers the work that is kept for the execution; ErrNotFound if there is none.
func (s *Stream) DeadLetter(ctx context.Context, execution string) (Work, error) {
	work, err := s.deadLetter(ctx, execution)
	if err != nil {
		return Work{}, fmt.Errorf("read dead letter of %s: %w", execution, err)
	}
	return work, nil
}

func (s *Stream) deadLetter(ctx context.Context, execution string) (Work, error) {
	if err := checkExecution(execution); err != nil {
		return Work{}, err
	}
	message, _, err := s.lastMessage(ctx, deadStream, deadSubjects(execution))
	switch {
	case err != nil:
		return Work{}, translate(ctx, err)
	case message == nil:
		return Work{}, ErrNotFound
	}
	return decodeWork(message)
}

// DeadLetters answers which of the executions, at most 1,000, have one.
func (s *Stream) DeadLetters(ctx context.Context, executions []string) (map[string]bool, error) {
	if len(executions) > lettersAtOnce {
		return nil, fmt.Errorf("look for dead letters: %w: %d executions at once", ErrTooLarge, len(executions))
	}
	found := make([]bool, len(executions))
	asking, asked := errgroup.WithContext(ctx)
	asking.SetLimit(letterQuestions)
	for i, execution := range executions {
		asking.Go(func() error {
			var err error
			found[i], err = s.hasDeadLetter(asked, execution)
			return err
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, fmt.Errorf("look for dead letters: %w", err)
	}
	letters := make(map[string]bool)
	for i, execution := range executions {
		if found[i] {
			letters[execution] = true
		}
	}
	return letters, nil
}

func (s *Stream) hasDeadLetter(ctx context.Context, execution string) (bool, error) {
	if err := checkExecution(execution); err != nil {
		return false, err
	}
	count, err := s.countSubjects(ctx, deadStream, deadSubjects(execution))
	return count > 0, translate(ctx, err)
}

// DropDeadLetter takes it away and reports whether there was one.
func (s *Stream) DropDeadLetter(ctx context.Context, execution string) (bool, error) {
	if err := checkExecution(execution); err != nil {
		return false, fmt.Errorf("drop dead letter: %w", err)
	}
	found, err := s.deleteSubject(ctx, deadStream, deadSubjects(execution))
	if err != nil {
		return false, fmt.Errorf("drop dead letter of %s: %w", execution, translate(ctx, err))
	}
	return found, nil
}
