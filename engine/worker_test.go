package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

func TestExecutionCompletes(t *testing.T) {
	t.Parallel()
	seen := make(chan *http.Request, 1)
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Clone(context.Background())
		w.Header().Set("X-Kept", "yes")
		w.Header().Set("Set-Cookie", "session=secret")
		echo(w, r)
	}, Config{})
	id := p.submit(t, []byte("hello"))
	e := p.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if string(e.Result) != "hello" || e.ResultSize != 5 || e.ResponseStatus != 200 || e.Version != 1 || e.Attempt != 1 || e.Worker != "worker-1" {
		t.Errorf("record %+v", e)
	}
	if e.ResponseHeader.Get("X-Kept") != "yes" || e.ResponseHeader.Get("Set-Cookie") != "" {
		t.Errorf("kept header %v", e.ResponseHeader)
	}
	if e.Streamed || e.Tier != store.TierMedium || e.ColdStart <= 0 || e.Ran <= 0 || e.StartedAt.IsZero() || e.FinishedAt.Before(e.StartedAt) {
		t.Errorf("record %+v", e)
	}
	r := receive(t, seen, "call")
	if r.URL.Path != "/work" || r.Header.Get(pod.HeaderExecutionID) != id || r.Header.Get(pod.HeaderAttempt) != "1" ||
		r.Header.Get(pod.HeaderOrganizationID) != caller || !slices.Equal(r.Header["X-Custom"], []string{"a", "b"}) {
		t.Errorf("pod saw %s %v", r.URL, r.Header)
	}
	p.untilNoWork(t)
}

func TestAppErrorIsKeptAsResult(t *testing.T) {
	t.Parallel()
	p := start(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such thing", http.StatusNotFound) }, Config{})
	e := p.untilEnd(t, p.submit(t, nil))
	expect(t, e, store.Failed, codeAppError)
	if e.ResponseStatus != 404 || string(e.Result) != "no such thing\n" {
		t.Errorf("record %+v, result %q", e, e.Result)
	}
}

func TestStreamedAnswerIsPublishedWhileItComes(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	p := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		for n := range 3 {
			_, _ = fmt.Fprintf(w, "piece %d\n", n)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
		w.Header().Set("X-Sum", "3")
	}, Config{})
	id := p.submit(t, nil)
	for n := range 3 {
		chunks := p.chunks(t, id, 1, n+1)
		if want := fmt.Sprintf("piece %d\n", n); chunks[n] != want {
			t.Errorf("chunk %d is %q, want %q", n, chunks[n], want)
		}
		next <- struct{}{}
	}
	e := p.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if !e.Streamed || e.Chunks != 3 || string(e.Result) != "piece 0\npiece 1\npiece 2\n" || e.ResponseTrailer.Get("X-Sum") != "3" {
		t.Errorf("record %+v, result %q", e, e.Result)
	}
}

func TestLargeBodiesGoThroughTheStore(t *testing.T) {
	t.Parallel()
	p := start(t, echo, Config{})
	body := large(3 << 20)
	e := p.untilEnd(t, p.submit(t, body))
	expect(t, e, store.Completed, "")
	result, err := p.store.Result(t.Context(), e)
	if err != nil || !bytes.Equal(result, body) || e.ResultObject == "" || e.ResultSize != int64(len(body)) {
		t.Errorf("result of %d bytes, error %v, record %+v", len(result), err, e)
	}
}

func TestLargeRequestLeavesWhenItsExecutionCompleted(t *testing.T) {
	t.Parallel()
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 2<<20 {
			w.WriteHeader(http.StatusTeapot)
		}
		echo(w, r)
	}, Config{})
	completed, failed := p.submit(t, large(1<<20)), p.submit(t, large(3<<20))
	expect(t, p.untilEnd(t, completed), store.Completed, "")
	expect(t, p.untilEnd(t, failed), store.Failed, codeAppError)
	// A worker that died after the outcome was stored has not come to it.
	ended := store.NewExecutionID()
	record := p.createRecord(t, ended, "request."+ended)
	record = p.update(t, record, func(e *store.Execution) { e.Status, e.Attempt = store.Running, 1 })
	p.update(t, record, func(e *store.Execution) { e.Status = store.Completed })
	p.enqueue(t, ended, large(1<<20))
	p.untilNoPayload(t, "request."+completed)
	p.untilNoPayload(t, "request."+ended)
	if _, err := p.store.Payload(t.Context(), "request."+failed); err != nil {
		t.Errorf("the request of what failed: %v", err)
	}
}

func TestResultOverTheLimit(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"announced": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large(2048)) },
		"streamed": func(w http.ResponseWriter, _ *http.Request) {
			for range 4 {
				_, _ = w.Write(large(512))
				_ = http.NewResponseController(w).Flush()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, handler, Config{MaxResultBytes: 1024})
			e := p.untilEnd(t, p.submit(t, nil))
			expect(t, e, store.Failed, codeResultTooLarge)
			if e.ResponseStatus != 200 || len(e.Result) != 0 {
				t.Errorf("record %+v", e)
			}
		})
	}
}

func TestManyExecutionsAcrossTwoWorkersRunOnce(t *testing.T) {
	t.Parallel()
	const executions = 300
	var calls counter
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.count(r)
		echo(w, r)
	})
	server := streamtest.Start(t)
	first := newProcess(t, server, handler, Config{Worker: "first"})
	first.publish(t, store.Config{MaxConcurrency: 4})
	first.run()
	second := newProcess(t, server, handler, Config{Worker: "second"}).run()
	var ids []string
	for n := range executions {
		ids = append(ids, first.submit(t, fmt.Append(nil, n)))
	}
	workers := make(map[string]int)
	for n, id := range ids {
		e := second.untilEnd(t, id)
		expect(t, e, store.Completed, "")
		if string(e.Result) != fmt.Sprint(n) || calls.of(id) != 1 || e.Attempt != 1 {
			t.Errorf("execution %d: result %q, %d calls, attempt %d", n, e.Result, calls.of(id), e.Attempt)
		}
		workers[e.Worker]++
	}
	if len(workers) != 2 {
		t.Errorf("work was done by %v, want both", workers)
	}
	first.untilNoWork(t)
}

func TestWorkMayComeBeforeItsRecord(t *testing.T) {
	t.Parallel()
	p := start(t, echo, Config{})
	id := store.NewExecutionID()
	p.enqueue(t, id, []byte("early"))
	p.createRecord(t, id, "")
	expect(t, p.untilEnd(t, id), store.Completed, "")
}

func TestWorkWithoutARecordIsDroppedInTheEnd(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), http.NotFoundHandler(), Config{})
	stored := time.Now()
	waited, looks := time.Duration(0), 0
	p.engine.worker.now = func() time.Time { return stored.Add(waited) }
	for ; ; looks++ {
		// A worker that was started again has its work delivered for the first time.
		job := &stream.Job{Work: stream.Work{Execution: store.NewExecutionID(), Owner: caller}, Delivered: 1 + looks%4, Stored: stored}
		e := p.engine.worker.missing(t.Context(), job)
		if e.verb == acknowledge {
			break
		}
		waited += e.after
	}
	if waited != p.engine.config.ReapAfter || looks > 100 {
		t.Errorf("a record is waited for %v in all with %d looks, want %v", waited, looks, p.engine.config.ReapAfter)
	}
}

func TestQueuedWorkIsFoundAfterARestart(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	gateway := newProcess(t, server, http.NotFoundHandler(), Config{Worker: "gateway"})
	gateway.publish(t, store.Config{})
	id := gateway.submit(t, []byte("waiting"))
	worker := newProcess(t, server, http.HandlerFunc(echo), Config{}).run()
	expect(t, worker.untilEnd(t, id), store.Completed, "")
}

func TestWorkOutlivesARestartOfNATS(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	called := make(chan struct{}, 10)
	back := make(chan struct{})
	p := newProcess(t, server, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		<-back
		echo(w, r)
	}), Config{})
	p.publish(t, store.Config{})
	p.run()
	id := p.submit(t, []byte("survivor"))
	receive(t, called, "call")
	server.Stop(t)
	close(back)
	server.Resume(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := p.conn.FlushWithContext(ctx)
	for errors.Is(err, nats.ErrConnectionClosed) && !p.conn.IsClosed() {
		err = p.conn.FlushWithContext(ctx) // the one before was under way when the connection was lost
	}
	if err != nil {
		t.Fatalf("connection is not back: %v", err)
	}
	e := p.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	p.untilNoWork(t)
}

func TestConcurrencyBoundsTakenWork(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	running := make(chan struct{}, 100)
	server := streamtest.Start(t)
	p := newProcess(t, server, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		running <- struct{}{}
		<-release
	}), Config{})
	p.publish(t, store.Config{MaxConcurrency: 2, Scaling: store.Scaling{MaxReplicas: 1}})
	var ids []string
	for range 6 {
		ids = append(ids, p.submit(t, nil))
	}
	p.run()
	receive(t, running, "call")
	receive(t, running, "call")
	held := 0
	for _, id := range ids {
		if p.record(t, id).Status == store.Running {
			held++
		}
	}
	if held != 2 {
		t.Errorf("%d executions are running, want the 2 that have a slot", held)
	}
	close(release)
	for _, id := range ids {
		expect(t, p.untilEnd(t, id), store.Completed, "")
	}
}

func TestAppChangesWhileWorkWaits(t *testing.T) {
	t.Parallel()
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
		p.publish(t, store.Config{})
		id := p.submit(t, nil)
		if err := p.store.DeleteApp(t.Context(), testApp); err != nil {
			t.Fatal(err)
		}
		expect(t, p.run().untilEnd(t, id), store.Failed, codeAppDeleted)
	})
	t.Run("deleted and made again", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
		p.publish(t, store.Config{})
		id := p.submit(t, nil)
		if err := p.store.DeleteApp(t.Context(), testApp); err != nil {
			t.Fatal(err)
		}
		p.publish(t, store.Config{})
		expect(t, p.run().untilEnd(t, id), store.Failed, codeAppDeleted)
	})
	t.Run("never published", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
		if _, err := p.store.CreateApp(t.Context(), store.App{AppRef: testApp}); err != nil {
			t.Fatal(err)
		}
		id := p.submit(t, nil)
		expect(t, p.run().untilEnd(t, id), store.Failed, codeNotPublished)
	})
}

func TestCensusAnswersOtherProcesses(t *testing.T) {
	t.Parallel()
	p := start(t, echo, Config{})
	p.untilEnd(t, p.submit(t, nil))
	answers, err := p.stream.Ask(t.Context(), pod.CensusTopic, []byte(`{"org":"acme","app":"hello"}`), time.Second)
	want := `{"ready":1,"starting":0,"in_flight":0,"desired":1,"serving":[1],"max_replicas":5,"least_scaledown_secs":30}`
	if err != nil || len(answers) != 1 || string(answers[0]) != want {
		t.Errorf("answers %q, error %v", answers, err)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := New(Config{MaxHeld: -1, DrainTime: -1})
	if err == nil {
		t.Fatal("an empty configuration was accepted")
	}
	for _, field := range []string{"Store", "Stream", "Driver", "Provisioner", "Worker", "MaxHeld", "DrainTime"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q does not name %s", err, field)
		}
	}
}

func TestDoServesSynchronousCalls(t *testing.T) {
	t.Parallel()
	p := start(t, echo, Config{})
	client := pod.NewClient()
	defer client.Close()
	err := p.engine.Do(t.Context(), testApp, 0, func(target pod.Target) error {
		response, err := client.Do(t.Context(), target, pod.Request{})
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
	if err != nil {
		t.Errorf("call: %v", err)
	}
	own := errors.New("the caller's own")
	if err := p.engine.Do(t.Context(), testApp, 0, func(pod.Target) error { return own }); !errors.Is(err, own) {
		t.Errorf("call answered %v, want %v", err, own)
	}
}

func TestStopTakingLeavesWorkAndServesCalls(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	first := newProcess(t, server, http.HandlerFunc(echo), Config{Worker: "first"})
	first.publish(t, store.Config{})
	first.run()
	first.untilEnd(t, first.submit(t, nil))
	first.engine.StopTaking()
	first.engine.StopTaking()
	second := newProcess(t, server, http.HandlerFunc(echo), Config{Worker: "second"}).run()
	for range 20 {
		if e := second.untilEnd(t, second.submit(t, nil)); e.Worker != "second" {
			t.Errorf("work was taken by %s", e.Worker)
		}
	}
	if err := first.engine.Do(t.Context(), testApp, 0, func(pod.Target) error { return nil }); err != nil {
		t.Errorf("call: %v", err)
	}
}

func TestTakerRestsAndIsWokenAgain(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.engine.worker.idle = 20 * time.Millisecond
	p.publish(t, store.Config{})
	p.run()
	for range 3 {
		expect(t, p.untilEnd(t, p.submit(t, nil)), store.Completed, "")
		deadline := time.After(patience)
		for p.engine.worker.takersNow() > 0 {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-deadline:
				t.Fatal("the taker of an idle queue does not rest")
			}
		}
	}
}

// takersNow counts the takers.
func (w *worker) takersNow() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.takers)
}

func TestSweepFindsWorkThatNobodyHeardOf(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	found := make(chan stream.App, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.engine.worker.sweep(ctx, func(app stream.App) { found <- app })
	}()
	p.submit(t, nil)
	// The list of apps with work may be a moment old, so one sweep may see what was there before.
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	overdue := time.After(sweepEvery / 2)
	for app := (stream.App{}); app.Name == ""; {
		p.engine.Sweep()
		select {
		case app = <-found:
			if app.Org != testApp.Org || app.Name != testApp.Name {
				t.Fatalf("found %v", app)
			}
		case <-again.C:
		case <-overdue:
			t.Fatal("work was not found before the next sweep is due")
		}
	}
	cancel()
	<-ended
}
