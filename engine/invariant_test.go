package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// The tests of this file are named after the invariants of the package comment.

func TestNoFakeAccept_WorkStaysUntilItsOutcomeIsOnDisk(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	p := newProcess(t, server, http.HandlerFunc(echo), Config{})
	var broken atomic.Bool
	synced := make(chan struct{}, 10)
	log := p.engine.config.Logger
	failing, err := store.Open(t.Context(), store.Options{Conn: p.conn, Logger: log, Sync: func(ctx context.Context) error {
		if broken.Load() {
			synced <- struct{}{}
			return errors.New("disk is gone")
		}
		return server.Sync(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = failing.Close() })
	p.engine.worker.store = failing
	p.publish(t, store.Config{})
	id := p.submit(t, nil)
	broken.Store(true)
	p.run()
	p.untilEnd(t, id)
	receive(t, synced, "sync")
	apps, err := p.stream.Waiting(t.Context())
	if err != nil || len(apps) != 1 {
		t.Errorf("work of %v is left, error %v; want the execution's", apps, err)
	}
	broken.Store(false)
	p.untilNoWork(t)
}

func TestSettledOnce_DeliveredAgainAfterItsEnd(t *testing.T) {
	t.Parallel()
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

func TestOnlyTheHolderDecides_TakenOverWhileItRan(t *testing.T) {
	t.Parallel()
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
	if now := p.record(t, id); now.Revision != other.Revision {
		t.Errorf("record was written to %+v", now)
	}
	if _, err := p.store.Payload(t.Context(), fmt.Sprintf("result.%s.2", id)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the holder's result: %v, want not found", err)
	}
}

func TestOnlyTheHolderDecides_OwnWriteWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	created := p.createRecord(t, store.NewExecutionID(), "")
	taken := p.update(t, created, func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 1, "worker-1" })
	a := &attempt{worker: p.engine.worker}
	if e, held := a.hold(t.Context(), created); !held || a.held.Revision != taken.Revision {
		t.Errorf("held %v at revision %d, end %+v; want revision %d", held, a.held.Revision, e, taken.Revision)
	}
}

func TestOnlyTheHolderDecides_DeadWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	record := p.createRecord(t, id, "")
	p.enqueue(t, id, []byte("again"))
	p.update(t, record, func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 1, "dead" })
	e := p.run().untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if e.Attempt != 2 || e.Worker != "worker-1" {
		t.Errorf("attempt %d by %s, want the second", e.Attempt, e.Worker)
	}
}

func TestOnlyTheHolderDecides_LivingWorkerIsLeftAlone(t *testing.T) {
	t.Parallel()
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

func TestNothingWithoutAnEnd_WorkersThatDie(t *testing.T) {
	t.Parallel()
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

func TestNothingWithoutAnEnd_WorkerCutOffDuringTheCall(t *testing.T) {
	t.Parallel()
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

func TestOnlyTheHolderDecides_LongCallIsRenewed(t *testing.T) {
	t.Parallel()
	var calls counter
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		calls.count(r)
		<-time.After(5 * ackWait / 2)
		echo(w, r)
	}, Config{})
	id := p.submit(t, nil)
	e := p.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if e.Attempt != 1 || calls.of(id) != 1 {
		t.Errorf("attempt %d, %d calls; want one of each", e.Attempt, calls.of(id))
	}
	p.untilNoWork(t)
}

func TestNothingWithoutAnEnd_AnswerThatCannotBeKept(t *testing.T) {
	t.Parallel()
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

func TestNothingWithoutAnEnd_UnreadableWork(t *testing.T) {
	t.Parallel()
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

func TestHonestCause_StopIsNoFailure(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	called := make(chan struct{}, 1)
	const longerThanTheTest = time.Hour // so only work that was given back comes again
	first := newPatientProcess(t, server, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body) // net/http watches for the caller's leaving only after the body
		<-r.Context().Done()
	}), Config{Worker: "first", DrainTime: 50 * time.Millisecond}, longerThanTheTest)
	first.publish(t, store.Config{})
	first.run()
	id := first.submit(t, []byte("moved"))
	receive(t, called, "call")
	first.stop(t)
	if e := first.record(t, id); e.Status != store.Pending || e.Attempt != 1 || e.Worker != "" {
		t.Errorf("record after a clean stop: %+v", e)
	}
	second := newPatientProcess(t, server, http.HandlerFunc(echo), Config{Worker: "second"}, longerThanTheTest).run()
	e := second.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if e.Attempt != 2 {
		t.Errorf("attempt %d, want the second", e.Attempt)
	}
}

func TestHonestCause_CallsEndWithinTheDrainTime(t *testing.T) {
	t.Parallel()
	called := make(chan struct{}, 1)
	release := make(chan struct{})
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		<-release
		echo(w, r)
	}, Config{})
	id := p.submit(t, []byte("in time"))
	receive(t, called, "call")
	p.cut()
	close(release)
	p.stop(t)
	e := p.record(t, id)
	expect(t, e, store.Completed, "")
	if e.Attempt != 1 {
		t.Errorf("attempt %d, want the first", e.Attempt)
	}
	p.untilNoWork(t)
}

func TestHonestCause_ClockThatRanOut(t *testing.T) {
	t.Parallel()
	t.Run("total", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t, streamtest.Start(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("begun"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}), Config{})
		p.publish(t, store.Config{Limits: store.Limits{TimeoutSecs: 1}})
		e := p.run().untilEnd(t, p.submit(t, nil))
		expect(t, e, store.Timeout, "TIMEOUT_TOTAL")
		if string(e.Result) != "begun" || e.Chunks != 1 || e.Ran < time.Second {
			t.Errorf("record %+v, result %q", e, e.Result)
		}
	})
	t.Run("cold start", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t, streamtest.Start(t), nil, Config{ColdStartBudget: 50 * time.Millisecond})
		p.driver = podtest.NewLoopback(func(ctx context.Context, _ pod.Spec) (http.Handler, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		p.engine.dispatch.driver = p.driver
		p.publish(t, store.Config{})
		expect(t, p.run().untilEnd(t, p.submit(t, nil)), store.Timeout, "TIMEOUT_COLD_START")
	})
}

func TestHonestCause_PodThatBroke(t *testing.T) {
	t.Parallel()
	var p *process
	p = start(t, func(_ http.ResponseWriter, r *http.Request) {
		running := p.driver.Running()[0]
		running.Logf("panic: nobody expected this")
		go running.Crash("exit status 2")
		<-r.Context().Done()
	}, Config{})
	e := p.untilEnd(t, p.submit(t, nil))
	expect(t, e, store.Failed, codeBroken)
	if !strings.Contains(e.Error.Message, "exit status 2") || !strings.Contains(e.Error.Message, "nobody expected this") {
		t.Errorf("message %q does not say how the pod ended", e.Error.Message)
	}
}

func TestHonestCause_AppDeletedDuringTheCall(t *testing.T) {
	t.Parallel()
	called := make(chan struct{}, 1)
	p := start(t, func(_ http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		<-r.Context().Done()
	}, Config{})
	id := p.submit(t, nil)
	receive(t, called, "call")
	if err := p.store.DeleteApp(t.Context(), testApp); err != nil {
		t.Fatal(err)
	}
	expect(t, p.untilEnd(t, id), store.Failed, codeAppDeleted)
}

func TestHonestCause_PodThatDoesNotStart(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), nil, Config{MaxPlatformFailures: 1})
	p.driver = podtest.NewLoopback(func(_ context.Context, spec pod.Spec) (http.Handler, error) {
		return nil, &pod.StartError{Pod: spec.Name, Reason: "exit status 1", Log: []string{"ModuleNotFoundError"}}
	})
	p.engine.dispatch.driver = p.driver
	p.publish(t, store.Config{})
	e := p.run().untilEnd(t, p.submit(t, nil))
	expect(t, e, store.Failed, codeStartFailed)
	if !strings.Contains(e.Error.Message, "ModuleNotFoundError") {
		t.Errorf("message %q does not hold the log", e.Error.Message)
	}
}

// update changes a record as another worker would.
func (p *process) update(t testing.TB, e store.Execution, change func(*store.Execution)) store.Execution {
	t.Helper()
	change(&e)
	updated, err := p.store.UpdateExecution(t.Context(), e)
	if err != nil {
		t.Fatalf("update record: %v", err)
	}
	return updated
}
