package engine

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

func stopIsNoFailure(t *testing.T) {
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

func callsEndWithinTheDrainTime(t *testing.T) {
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

func clockThatRanOut(t *testing.T) {
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

func podThatBroke(t *testing.T) {
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

func appDeletedDuringTheCall(t *testing.T) {
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

func podThatDoesNotStart(t *testing.T) {
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

func lastFailureIsToldWhileItWaits(t *testing.T) {
	p := start(t, play(answering(http.StatusInternalServerError), echo).ServeHTTP, Config{})
	id := p.submitWith(t, store.Execution{Retry: store.RetryPolicy{MaxAttempts: 2, InitialBackoff: 1500 * time.Millisecond}}, nil)
	e := p.until(t, id, waits)
	if e.Error == nil || e.Error.Code != codeAppError || e.Worker != "" || e.AppFailures != 1 || e.DueAt.Before(time.Now()) {
		t.Errorf("record %+v, error %+v", e, e.Error)
	}
	e = p.untilEnd(t, id)
	expect(t, e, store.Completed, "")
}
