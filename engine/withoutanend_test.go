package engine

import (
	"net/http"
	"testing"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

func workersThatDie(t *testing.T) {
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{MaxPlatformFailures: 3})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	record := p.createRecord(t, id, "")
	p.enqueue(t, id, nil)
	p.update(t, record, func(e *store.Execution) {
		e.Status, e.Attempt, e.PlatformFailures, e.Worker = store.Running, 3, 2, "dead"
	})
	expect(t, p.run().untilEnd(t, id), store.Failed, codeWorkerLost)
	p.untilNoWork(t)
}

func workerCutOffDuringTheCall(t *testing.T) {
	server := streamtest.Start(t)
	gone := make(chan struct{})
	var first *process
	first = newProcess(t, server, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		first.conn.Close() // to everybody else the process is dead from here on
		close(gone)
		_, _ = w.Write([]byte("from the dead"))
	}), Config{Worker: "first", DrainTime: time.Millisecond})
	first.publish(t, store.Config{})
	second := newProcess(t, server, http.HandlerFunc(echo), Config{Worker: "second"})
	id := second.submit(t, []byte("from the living"))
	first.run()
	receive(t, gone, "call")
	second.run()
	e := second.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if string(e.Result) != "from the living" || e.Attempt != 2 || e.Worker != "second" {
		t.Errorf("record %+v, result %q", e, e.Result)
	}
	second.untilNoWork(t)
}

func answerThatCannotBeKept(t *testing.T) {
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	a := &attempt{worker: p.engine.worker, job: &stream.Job{Work: stream.Work{Execution: id, Owner: caller}}}
	if _, held := a.hold(t.Context(), p.createRecord(t, id, "")); !held {
		t.Fatal("record was not taken")
	}
	huge := outcome{status: store.Completed, response: 200, header: http.Header{"X-Huge": {string(large(2 << 20))}}}
	if e := a.settle(t.Context(), huge); e.verb != acknowledge {
		t.Errorf("settle: %+v, want acknowledge", e)
	}
	expect(t, p.record(t, id), store.Failed, codeInternal)
}

func unreadableWork(t *testing.T) {
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	p.createRecord(t, id, "")
	work := stream.Work{Execution: id, Owner: caller, App: stream.App{Org: testApp.Org, Name: testApp.Name}, Request: []byte("{")}
	if err := p.stream.Enqueue(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	expect(t, p.run().untilEnd(t, id), store.Failed, codeInternal)
}

func workThatIsNowhere(t *testing.T) {
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{ReapAfter: 50 * time.Millisecond})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	p.createRecord(t, id, "")
	expect(t, p.run().untilEnd(t, id), store.Failed, codeLost)
}
