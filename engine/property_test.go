package engine

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/store"
)

// propertySteps is how much happens in one run; -count makes more of it, with other seeds.
const propertySteps = 250

var propertySeed = flag.Uint64("property.seed", 0, "seed of the property test, as an earlier run printed it; 0 takes a fresh one")

// TestInvariantsHoldWhateverHappens lets several engines, gateways that die, and callers who cancel work on one server, with killed
// and stopped engines, lost consumers and connections, restarts of NATS, and clocks that are wrong. Afterwards the invariants
// of the package comment must hold for every execution.
//
// The seed decides what happens, but not how the goroutines of the engines take turns: a seed that failed fails again more often than
// others, and not always.
func TestInvariantsHoldWhateverHappens(t *testing.T) {
	t.Parallel()
	seed := *propertySeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-property.seed=%d", seed)
	w := newWorld(t, seed)
	for range propertySteps {
		w.step()
	}
	w.calm()
	w.settle()
	for _, r := range w.requests {
		t.Run(fmt.Sprint(r), func(t *testing.T) { w.check(t, r) })
	}
	w.checkNothingIsLeft()
	w.tell()
}

// check holds the end of one execution against its request.
func (w *world) check(t *testing.T, r *request) {
	record, err := w.gateway.store.Execution(t.Context(), caller, r.id)
	if errors.Is(err, store.ErrNotFound) && !r.accepted {
		return
	}
	if err != nil {
		t.Fatalf("accepted, but: %v", err)
	}
	w.count(r, record)
	w.checkSettledOnce(t, record)
	w.checkCause(t, r, record)
	w.checkAnswer(t, r, record)
	w.checkKept(t, record)
}

// checkSettledOnce: exactly one revision of the record is an end, and it is the last.
func (w *world) checkSettledOnce(t *testing.T, record store.Execution) {
	if !record.Status.Terminal() {
		t.Errorf("record has not ended: %+v", record)
	}
	ends := w.audit.endsOf(record.ID)
	// What JetStream tells again is lost when it stops in that moment, so no end may have been heard, but never two.
	if len(ends) > 1 || len(ends) == 1 && ends[0] != record.Revision {
		t.Errorf("ended at revisions %v, and is at %d now", ends, record.Revision)
	}
}

// checkCause: a failure is one that the app, the caller or the platform really had.
func (w *world) checkCause(t *testing.T, r *request, record store.Execution) {
	code := ""
	if record.Error != nil {
		code = record.Error.Code
	}
	policy := r.retry.Over(store.DefaultRetry())
	honest := false
	switch code {
	case "":
		honest = record.Status == store.Completed
	case codeAppError:
		retried := record.ResponseStatus != 404
		honest = record.Status == store.Failed && r.may(fails, refuses) && (!retried || record.AppFailures == policy.MaxAttempts)
	case codeBroken:
		honest = record.Status == store.Failed && r.may(breaks, streamsAndBreaks) && record.AppFailures == policy.MaxAttempts
	case codeWorkerLost:
		honest = record.Status == store.Failed && w.lost > 0 && record.PlatformFailures > 0
	case codeLost:
		honest = record.Status == store.Failed && !r.accepted
	case "CANCELLED":
		honest = record.Status == store.Cancelled && r.cancelled
	}
	if !honest || record.AppFailures > policy.MaxAttempts {
		t.Errorf("record ended %s: %+v", record.Status, record.Error)
	}
}

// checkAnswer: the result is what the app answered to this very request.
func (w *world) checkAnswer(t *testing.T, r *request, record store.Execution) {
	if record.Status != store.Completed && (record.Error == nil || record.Error.Code != codeAppError) {
		return
	}
	result, err := w.gateway.store.Result(t.Context(), record)
	if err != nil || string(result) != r.answer() {
		t.Errorf("result %.60q, error %v; want %.60q", result, err, r.answer())
	}
	if record.Streamed {
		chunks := w.gateway.chunks(t, record.ID, record.Attempt, int(record.Chunks))
		if output := strings.Join(chunks, ""); output != r.answer() {
			t.Errorf("output of attempt %d %.60q, want %.60q", record.Attempt, output, r.answer())
		}
	}
}

// checkKept: what failed or timed out can be sent again, the rest has left nothing but its record.
func (w *world) checkKept(t *testing.T, record store.Execution) {
	letters, err := w.gateway.stream.DeadLetters(t.Context(), []string{record.ID})
	if err != nil {
		t.Fatal(err)
	}
	isLost := record.Error != nil && record.Error.Code == codeLost
	want := (record.Status == store.Failed || record.Status == store.Timeout) && !isLost
	if letters[record.ID] != want {
		t.Errorf("ended %s %+v, dead letter kept: %v", record.Status, record.Error, letters[record.ID])
	}
	if record.RequestObject == "" {
		return
	}
	_, err = w.gateway.store.Payload(t.Context(), record.RequestObject)
	if kept := !errors.Is(err, store.ErrNotFound); kept != want {
		t.Errorf("ended %s %+v, large body kept: %v, error %v", record.Status, record.Error, kept, err)
	}
}

// checkNothingIsLeft: nothing waits, runs or lies about.
func (w *world) checkNothingIsLeft() {
	ctx := w.t.Context()
	if unfinished, err := w.gateway.store.Unfinished(ctx, 0); err != nil || len(unfinished) > 0 {
		w.t.Errorf("unfinished executions %+v, error %v", unfinished, err)
	}
	if orphans, err := w.gateway.store.OrphanedPayloads(ctx, 0); err != nil || len(orphans) > 0 {
		w.t.Errorf("payloads %v have no record, error %v", orphans, err)
	}
	for _, r := range w.requests {
		if later, err := w.gateway.stream.IsLater(ctx, r.id); err != nil || later {
			w.t.Errorf("%v waits for its time: %v, error %v", r, later, err)
		}
	}
}

// settle waits until every execution has ended and all work is gone. Work without a record goes in its own time.
func (w *world) settle() {
	w.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		w.reap()
		left := w.left()
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("after %v there are still %v", patience, left)
		}
	}
}

// left answers what has not ended, or has work still.
func (w *world) left() []string {
	var left []string
	for _, r := range w.requests {
		record, err := w.gateway.store.Execution(w.t.Context(), caller, r.id)
		if errors.Is(err, store.ErrNotFound) && !r.accepted {
			continue
		}
		waits, waitsErr := w.gateway.stream.Waits(w.t.Context(), appOf(testApp), r.id)
		if err := errors.Join(err, waitsErr); err != nil || !record.Status.Terminal() || waits {
			left = append(left, fmt.Sprintf("%v: %s, attempt %d by %q, due %v, work in queue %v, error %v",
				r, record.Status, record.Attempt, record.Worker, record.DueAt, waits, err))
		}
	}
	return left
}
