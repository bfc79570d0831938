package engine

import (
	"net/http"
	"testing"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

func deliveredAgainAfterItsEnd(t *testing.T) {
	var calls counter
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.count(r)
		echo(w, r)
	}), Config{})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	record := p.createRecord(t, id, "")
	p.enqueue(t, id, nil)
	record = p.update(t, record, func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 1, "dead" })
	ended := p.update(t, record, func(e *store.Execution) { e.Status = store.Completed })
	p.run()
	p.untilNoWork(t)
	if after := p.record(t, id); after.Revision != ended.Revision || calls.of(id) != 0 {
		t.Errorf("revision %d, then %d; %d calls", ended.Revision, after.Revision, calls.of(id))
	}
}

func dueAfterItsEnd(t *testing.T) {
	var calls counter
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.count(r)
		echo(w, r)
	}), Config{})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	record := p.createRecord(t, id, "")
	ended := p.update(t, record, func(e *store.Execution) { e.Status = store.Cancelled })
	if err := p.stream.EnqueueLater(t.Context(), workOf(ended), time.Now(), true); err != nil {
		t.Fatal(err)
	}
	p.run()
	p.untilNothingWaits(t, id)
	if after := p.record(t, id); after.Revision != ended.Revision || calls.of(id) != 0 {
		t.Errorf("revision %d, then %d; %d calls", ended.Revision, after.Revision, calls.of(id))
	}
}

// untilNothingWaits waits until an execution has no work in any place. It looks in the place first where work comes from.
func (p *process) untilNothingWaits(t *testing.T, id string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		_, later := p.placesOf(t, id)
		if inQueue, _ := p.placesOf(t, id); !inQueue && !later {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("work of %s is left after %v", id, patience)
		}
	}
}

func cancelledWhileItsCallEnded(t *testing.T) {
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	a := &attempt{worker: p.engine.worker, job: &stream.Job{Work: stream.Work{Execution: id, Owner: caller}}}
	if _, held := a.hold(t.Context(), p.createRecord(t, id, "")); !held {
		t.Fatal("record was not taken")
	}
	cancelled := p.cancel(t, id)
	if e := a.settle(t.Context(), outcome{status: store.Completed, response: 200}); e.verb != acknowledge || e.record.Status != store.Cancelled {
		t.Errorf("settle: %+v, want to acknowledge what was cancelled", e)
	}
	if now := p.record(t, id); now.Revision != cancelled.Revision {
		t.Errorf("record was written to %+v", now)
	}
}

// A worker may die after it kept the dead letter; the next one does it again.
func deadLetterKeptASecondTime(t *testing.T) {
	var calls counter
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.count(r)
		echo(w, r)
	}), Config{})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	body := large(2 * store.MaxInline)
	record := p.createRecord(t, id, objectOf(id, body))
	p.enqueue(t, id, body)
	record = p.update(t, record, func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 1, "dead" })
	ended := p.update(t, record, func(e *store.Execution) { e.Status = store.Timeout })
	if err := p.stream.KeepDeadLetter(t.Context(), workOf(ended), ended.ExpiresAt); err != nil {
		t.Fatal(err)
	}
	p.run()
	p.untilNoWork(t)
	if after := p.record(t, id); after.Revision != ended.Revision || calls.of(id) != 0 {
		t.Errorf("revision %d, then %d; %d calls", ended.Revision, after.Revision, calls.of(id))
	}
	if kept, err := p.store.Payload(t.Context(), ended.RequestObject); err != nil || len(kept) != len(body) {
		t.Errorf("body of %d bytes is kept, error %v", len(kept), err)
	}
}
