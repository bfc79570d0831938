package engine

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// codeLost says that an execution's work was found nowhere.
const codeLost = "LOST"

const (
	// rounds is how often the reaper looks within the time after which something counts as lost.
	rounds = 5
	// reapShare is the part of its time, one in so many, that the reaper may spend on looking at what has not ended. A long queue is looked
	// through in several rounds.
	reapShare = 20
)

// reaper finds what a crash between two effects left behind, and what people deleted: records whose work is nowhere are ended, payloads
// without a record deleted. Work without a record is found by who takes it. Each is a fault that was survived, and counted.
//
// What is merely slow is left alone: work that waits in the queue or for its time, work that a worker holds who answers, and whatever is so
// young that its submission may be under way. Any number of processes may reap: an end is written by compare-and-set.
type reaper struct {
	*worker
	// after is how old something must be to count as lost, limit how long a round may look at what has not ended.
	after, limit time.Duration
	// rest is what the last round had no time for, missed what is to be looked at once more, with the revision that its record had when its
	// work was not found.
	rest, missed []store.Execution
	// orphans are the payloads that had no record in the last round.
	orphans map[string]bool
}

// reap looks until ctx ends.
func (w *worker) reap(ctx context.Context, after time.Duration) {
	r := &reaper{worker: w, after: after, limit: after / rounds / reapShare}
	for {
		every := after / rounds
		// Processes that were started together do not look together.
		if sleep(ctx, every-rand.N(every/2+1)) != nil {
			return
		}
		r.round(ctx)
	}
}

// round looks once. What cannot be looked at now is looked at in the next round.
func (r *reaper) round(ctx context.Context) {
	for _, look := range []func(context.Context) error{r.records, r.payloads} {
		if err := look(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "cannot look for what is lost", slog.Any("error", err))
		}
	}
}

// records ends executions whose work is nowhere, beginning with those for which the last round had no time.
func (r *reaper) records(ctx context.Context) error {
	if len(r.rest) == 0 {
		unfinished, err := r.store.Unfinished(ctx, r.after)
		if err != nil {
			return err
		}
		// The store answers in parts, so what was missed need not be in this one.
		r.rest, r.missed = append(r.missed, unfinished...), nil
	}
	for began := time.Now(); len(r.rest) > 0; {
		found := r.rest[0]
		r.rest = r.rest[1:] // also if it cannot be looked at: it must not keep the others from it
		if err := r.look(ctx, found); err != nil {
			return err
		}
		if time.Since(began) > r.limit {
			return nil
		}
	}
	r.rest = nil
	return nil
}

// look ends the execution if its work is nowhere, and was nowhere the last time: a server that has just begun to lead a stream may not know yet
// what was stored in it a moment ago. The record is read before its work is looked for, and ended at the revision that was read:
// whoever takes work away writes the record first, so what was taken away meanwhile makes that a conflict.
func (r *reaper) look(ctx context.Context, found store.Execution) error {
	app := stream.App{Org: found.App.Org, Name: found.App.Name}
	// Nearly all that has not ended waits, and is known by one question.
	if waits, err := r.stream.Waits(ctx, app, found.ID); err != nil || waits {
		return err
	}
	record, err := r.store.Execution(ctx, found.Org, found.ID)
	switch {
	case lost(err):
		return nil
	case err != nil:
		return err
	case record.Status.Terminal() || r.isYoung(record):
		return nil
	}
	if there, err := r.isThere(ctx, app, record); err != nil || there {
		return err
	}
	if found.Revision != record.Revision {
		r.missed = append(r.missed, store.Execution{ID: record.ID, Org: record.Org, App: record.App, Revision: record.Revision})
		return nil
	}
	return r.end(ctx, record)
}

// isYoung also knows of an id that is older than its record: who repeats a submission by its key goes on under the id of the first try.
func (r *reaper) isYoung(record store.Execution) bool { return r.now().Sub(record.CreatedAt) < r.after }

// isThere reports whether a record's work is in the queue, waits for its time, or is held by a worker that answers. The queue is asked before
// and after, because work moves both ways between it and the place where it waits for its time.
func (r *reaper) isThere(ctx context.Context, app stream.App, record store.Execution) (bool, error) {
	inQueue := func() (bool, error) { return r.stream.Waits(ctx, app, record.ID) }
	isLater := func() (bool, error) { return r.stream.IsLater(ctx, record.ID) }
	isHeld := func() (bool, error) { return r.answers(ctx, record) }
	for _, is := range []func() (bool, error){isHeld, inQueue, isLater, inQueue} {
		if there, err := is(); err != nil || there {
			return there, err
		}
	}
	return false, nil
}

// answers reports whether a running execution is run by a worker that can be asked.
func (r *reaper) answers(ctx context.Context, record store.Execution) (bool, error) {
	if record.Status != store.Running {
		return false, nil
	}
	answers, err := r.stream.Ask(ctx, holderTopic(record.Worker), []byte(record.ID), askPatience)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(answers, func(answer []byte) bool { return string(answer) == stillRunning }), nil
}

// end writes that a record's work is lost, and deletes what is left of its request.
func (r *reaper) end(ctx context.Context, record store.Execution) error {
	ended := record
	ended.Status, ended.FinishedAt, ended.DueAt = store.Failed, r.now(), time.Time{}
	ended.Error = &store.ExecutionError{Code: codeLost, Message: clip(lossOf(record))}
	if _, err := r.update(ctx, ended); err != nil {
		if lost(err) {
			return nil // somebody goes on with it, or ended it
		}
		return fmt.Errorf("end execution without work: %w", err)
	}
	r.metrics.countReaped(recordWithoutWork)
	r.log.LogAttrs(ctx, slog.LevelWarn, "ended an execution whose work is nowhere", slog.String("execution", record.ID),
		slog.String("app", record.App.String()), slog.Uint64("attempt", uint64(record.Attempt)), slog.String("was", string(record.Status)))
	return r.dropRequestOf(ctx, record)
}

// dropRequestOf deletes a large request body that nobody can run any more. What is left of it in a crash is found when its record is gone.
func (r *reaper) dropRequestOf(ctx context.Context, record store.Execution) error {
	if record.RequestObject == "" {
		return nil
	}
	return r.store.DeletePayload(ctx, record.RequestObject)
}

// lossOf says what is known of an execution whose work is nowhere.
func lossOf(record store.Execution) string {
	const gone = "its work is neither in the queue nor waiting for its time"
	text := ""
	switch {
	case record.Status == store.Running:
		text = fmt.Sprintf("worker %s, which began attempt %d, does not answer, and %s: it may have run, and is not run again",
			record.Worker, record.Attempt, gone)
	case record.Attempt == 0:
		text = gone + ": it was deleted, or its submission was cut off. It has not run; submit it again"
	default:
		text = fmt.Sprintf("after attempt %d %s: it is not run again", record.Attempt, gone)
	}
	if record.Error != nil {
		text += fmt.Sprintf("; the last attempt had failed with %s: %s", record.Error.Code, record.Error.Message)
	}
	return text
}

// payloads deletes those without a record, which had none the last time either, for the reason that look has.
func (r *reaper) payloads(ctx context.Context) error {
	orphans, err := r.store.OrphanedPayloads(ctx, r.after)
	if err != nil {
		return err
	}
	before := r.orphans
	r.orphans = make(map[string]bool)
	for _, name := range orphans {
		if !before[name] {
			r.orphans[name] = true
			continue
		}
		if err := r.store.DeletePayload(ctx, name); err != nil {
			return err
		}
		r.metrics.countReaped(payloadWithoutRecord)
		r.log.LogAttrs(ctx, slog.LevelWarn, "deleted a payload without a record", slog.String("payload", name))
	}
	return nil
}
