package engine

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

func takenOverWhileItRan(t *testing.T) {
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	created := p.createRecord(t, id, "")
	p.enqueue(t, id, nil)

	a := &attempt{worker: p.engine.worker, job: &stream.Job{Work: stream.Work{Execution: id, Owner: caller}}}
	if _, held := a.hold(t.Context(), created); !held {
		t.Fatal("record was not taken")
	}
	other := p.update(t, a.held, func(e *store.Execution) { e.Attempt, e.Worker = 2, "other" })
	late := outcome{status: store.Completed, response: 200, result: large(2 * store.MaxInline)}
	if e := a.settle(t.Context(), late); e.verb != forget {
		t.Errorf("late worker: %+v, want forget", e)
	}
	if e := a.handBack(t.Context(), errStopping); e.verb != forget {
		t.Errorf("late worker that stops: %+v, want forget", e)
	}
	if e := a.postpone(t.Context(), failed(store.Failed, codeBroken, "too late"), time.Now()); e.verb != forget {
		t.Errorf("late worker that fails: %+v, want forget", e)
	}
	if now := p.record(t, id); now.Revision != other.Revision {
		t.Errorf("record was written to %+v", now)
	}
	for attempt := range uint32(2) {
		if _, err := p.store.Payload(t.Context(), resultObject(id, attempt+1)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the result of attempt %d: %v, want not found", attempt+1, err)
		}
	}
}

func ownWriteWhoseAnswerWasLost(t *testing.T) {
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	created := p.createRecord(t, store.NewExecutionID(), "")
	taken := p.update(t, created, func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 1, "worker-1" })
	a := &attempt{worker: p.engine.worker}
	if e, held := a.hold(t.Context(), created); !held || a.held.Revision != taken.Revision {
		t.Errorf("held %v at revision %d, end %+v; want revision %d", held, a.held.Revision, e, taken.Revision)
	}
}

func deadWorkerIsReplaced(t *testing.T) {
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	record := p.createRecord(t, id, "")
	p.enqueue(t, id, []byte("again"))
	p.update(t, record, func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 1, "dead" })
	if err := p.store.KeepPayload(t.Context(), resultObject(id, 1), large(2*store.MaxInline), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	e := p.run().untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if _, err := p.store.Payload(t.Context(), resultObject(id, 1)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the result that the dead worker had stored: %v, want not found", err)
	}
	if e.Attempt != 2 || e.Worker != "worker-1" {
		t.Errorf("attempt %d by %s, want the second", e.Attempt, e.Worker)
	}
}

func livingWorkerIsLeftAlone(t *testing.T) {
	server := streamtest.Start(t)
	release := make(chan struct{})
	called := make(chan struct{}, 1)
	first := newProcess(t, server, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		called <- struct{}{}
		<-release
	}), Config{Worker: "first"})
	first.publish(t, store.Config{})
	first.run()
	id := first.submit(t, nil)
	receive(t, called, "call")
	second := newProcess(t, server, http.HandlerFunc(echo), Config{Worker: "second"})
	if record := second.record(t, id); !second.engine.worker.isHeld(t.Context(), record) {
		t.Error("the worker that runs it is taken for dead")
	}
	close(release)
	first.untilEnd(t, id)
	if record := (store.Execution{ID: store.NewExecutionID(), Status: store.Running, Worker: "first"}); second.engine.worker.isHeld(t.Context(), record) {
		t.Error("a worker that has another call is taken for its holder")
	}
}

// A worker that is alive keeps its work from everybody else, however long the call lasts. It takes no other work here, so only somebody
// else could be given it.
func longCallIsRenewed(t *testing.T) {
	called, release := make(chan struct{}, 1), make(chan struct{})
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		<-release
		echo(w, r)
	}, Config{})
	id := p.submit(t, nil)
	receive(t, called, "call")
	p.engine.StopTaking()
	queue, err := p.stream.Queue(t.Context(), appOf(testApp))
	if err != nil {
		t.Fatal(err)
	}
	for job, err := range queue.Take(t.Context(), 1, 5*ackWait/2) {
		if err != nil {
			t.Fatalf("take work: %v", err)
		}
		t.Errorf("%s was given to somebody else in delivery %d", job.Execution, job.Delivered)
	}
	if err := queue.Close(); err != nil {
		t.Error(err)
	}
	close(release)
	e := p.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if e.Attempt != 1 {
		t.Errorf("attempt %d, want the first", e.Attempt)
	}
	p.untilNoWork(t)
}

func cancelledWhileItWaits(t *testing.T) {
	app := play(answering(http.StatusInternalServerError))
	p := start(t, app.ServeHTTP, Config{})
	id := p.submitWith(t, store.Execution{Retry: store.RetryPolicy{MaxAttempts: 2, InitialBackoff: 1500 * time.Millisecond}}, nil)
	p.until(t, id, waits)
	cancelled := p.cancel(t, id) // and its work is left to a worker, as by a gateway that dies
	p.untilNothingWaits(t, id)
	if now := p.record(t, id); now.Revision != cancelled.Revision || app.seen() != "1" {
		t.Errorf("the pod saw attempts %s, record %+v", app.seen(), now)
	}
}
