package engine

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"dodil.io/ignite/store"
)

const (
	// askPatience is how long a worker that listens is given to say whether it still runs an execution.
	askPatience = time.Second
	// holderPatience is how long work is left to a worker that says so. It is the queue's own patience: a worker that is
	// alive renews the work meanwhile.
	holderPatience = 30 * time.Second
)

// stillRunning is a worker's answer that it runs the execution it was asked for.
const stillRunning = "running"

// holderTopic is where a worker is asked for what it runs.
func holderTopic(worker string) string { return "worker-" + worker }

// answerHolder answers for the jobs in hand, from when it returns until ctx ends. Without it this worker's work may be run twice
// when the queue forgets who has what.
func (w *worker) answerHolder(ctx context.Context) {
	err := w.stream.Answer(ctx, holderTopic(w.name), func(execution []byte) []byte {
		if w.hands.has(string(execution)) {
			return []byte(stillRunning)
		}
		return []byte("not running")
	})
	if err != nil {
		w.log.WarnContext(ctx, "cannot answer for running work", slog.Any("error", err))
	}
}

// isHeld reports whether the worker that holds the record is alive and still runs it. The queue cannot know that: it forgets
// deliveries when its server restarts, and then gives the work out again. A worker that does not answer has lost it.
func (w *worker) isHeld(ctx context.Context, record store.Execution) bool {
	if record.Status != store.Running || record.Worker == w.name {
		return false
	}
	answers, err := w.stream.Ask(ctx, holderTopic(record.Worker), []byte(record.ID), askPatience)
	if err != nil {
		w.log.DebugContext(ctx, "worker not asked", slog.String("execution", record.ID), slog.Any("error", err))
		return false
	}
	return slices.ContainsFunc(answers, func(answer []byte) bool { return string(answer) == stillRunning })
}
