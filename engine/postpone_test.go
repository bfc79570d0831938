package engine

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

// quick is a policy whose pauses a test does not feel.
func quick(attempts uint32) store.RetryPolicy {
	return store.RetryPolicy{MaxAttempts: attempts, InitialBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond}
}

// submitWith is submit with a record that says more.
func (p *process) submitWith(t testing.TB, e store.Execution, body []byte) string {
	t.Helper()
	e.ID = store.NewExecutionID()
	e.RequestObject = objectOf(e.ID, body)
	p.create(t, e)
	p.enqueue(t, e.ID, body)
	return e.ID
}

// script answers the calls of one execution in turn.
type script struct {
	mu       sync.Mutex
	answers  []http.HandlerFunc
	attempts []string
	times    []time.Time
}

func play(answers ...http.HandlerFunc) *script { return &script{answers: answers} }

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.attempts = append(s.attempts, r.Header.Get(pod.HeaderAttempt))
	s.times = append(s.times, time.Now())
	answer := s.answers[min(len(s.attempts), len(s.answers))-1]
	s.mu.Unlock()
	answer(w, r)
}

func (s *script) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.attempts, " ")
}

// between is the time between the first two calls.
func (s *script) between() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times[1].Sub(s.times[0])
}

func answering(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for n := 0; n < len(header); n += 2 {
			w.Header().Set(header[n], header[n+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "status %d", status)
	}
}

func TestFailedAttemptIsRepeatedUntilItCompletes(t *testing.T) {
	t.Parallel()
	s := play(answering(500), hangUp, echo)
	p := start(t, s.ServeHTTP, Config{})
	e := p.untilEnd(t, p.submitWith(t, store.Execution{Retry: quick(3)}, []byte("again")))
	expect(t, e, store.Completed, "")
	if string(e.Result) != "again" || e.Attempt != 3 || e.AppFailures != 2 || e.PlatformFailures != 0 || !e.DueAt.IsZero() || s.seen() != "1 2 3" {
		t.Errorf("record %+v, result %q, the pod saw attempts %s", e, e.Result, s.seen())
	}
	p.untilNoWork(t)
}

// hangUp breaks the connection before an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestLastFailureIsTheEnd(t *testing.T) {
	t.Parallel()
	s := play(answering(500), answering(502))
	p := start(t, s.ServeHTTP, Config{})
	e := p.untilEnd(t, p.submitWith(t, store.Execution{Retry: quick(2)}, nil))
	expect(t, e, store.Failed, codeAppError)
	const message = "given up after 2 attempts (2 of 2 failures of the app): the app answered 502 Bad Gateway"
	if string(e.Result) != "status 502" || e.ResponseStatus != 502 || e.Attempt != 2 || e.AppFailures != 2 || e.Error.Message != message {
		t.Errorf("record %+v, error %+v, result %q", e, e.Error, e.Result)
	}
}

func TestTimeoutIsRepeatedAndSaysWhichClock(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), Config{})
	p.publish(t, store.Config{Limits: store.Limits{TimeoutSecs: 1}})
	e := p.run().untilEnd(t, p.submitWith(t, store.Execution{Retry: quick(2)}, nil))
	expect(t, e, store.Timeout, "TIMEOUT_TOTAL")
	if e.AppFailures != 2 || !strings.Contains(e.Error.Message, "2 attempts") || !strings.Contains(e.Error.Message, "total timeout of 1s") {
		t.Errorf("record %+v, error %+v", e, e.Error)
	}
}

func TestRetryAfterOfAFailureIsHonoured(t *testing.T) {
	t.Parallel()
	s := play(answering(500, "Retry-After", "1"), echo)
	p := start(t, s.ServeHTTP, Config{})
	e := p.untilEnd(t, p.submitWith(t, store.Execution{Retry: quick(2)}, nil))
	expect(t, e, store.Completed, "")
	if e.AppFailures != 1 || s.between() < time.Second {
		t.Errorf("record %+v, %v between the calls", e, s.between())
	}
}

func TestNotNowIsNoFailure(t *testing.T) {
	t.Parallel()
	date := func(w http.ResponseWriter, r *http.Request) {
		answering(429, "Retry-After", time.Now().Add(time.Second).UTC().Format(http.TimeFormat))(w, r)
	}
	s := play(answering(503, "Retry-After", "1"), date, echo)
	p := start(t, s.ServeHTTP, Config{})
	e := p.untilEnd(t, p.submit(t, []byte("now")))
	expect(t, e, store.Completed, "")
	if e.AppFailures != 0 || e.Postponements != 2 || e.Attempt != 3 || s.between() < time.Second {
		t.Errorf("record %+v, %v between the calls", e, s.between())
	}
}

func TestNotNowEndsWithTheMaxAge(t *testing.T) {
	t.Parallel()
	p := start(t, answering(503, "Retry-After", "3600"), Config{})
	e := p.untilEnd(t, p.submitWith(t, store.Execution{Retry: store.RetryPolicy{MaxAge: time.Minute}}, nil))
	expect(t, e, store.Failed, codeAppError)
	if string(e.Result) != "status 503" || !strings.Contains(e.Error.Message, "max_age of 1m0s") || e.Postponements != 1 {
		t.Errorf("record %+v, error %+v, result %q", e, e.Error, e.Result)
	}
}

func TestWorkTooOldToBeginIsATimeout(t *testing.T) {
	t.Parallel()
	s := play(echo)
	p := start(t, s.ServeHTTP, Config{})
	old := store.Execution{CreatedAt: time.Now().Add(-time.Hour), Retry: store.RetryPolicy{MaxAge: time.Minute}}
	e := p.untilEnd(t, p.submitWith(t, old, nil))
	expect(t, e, store.Timeout, codeMaxAge)
	if !strings.Contains(e.Error.Message, "max_age timeout of 1m0s") || s.seen() != "" {
		t.Errorf("error %+v, the pod saw attempts %q", e.Error, s.seen())
	}
}

func TestFailuresOfThePlatformCountApart(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), nil, Config{MaxPlatformFailures: 2})
	p.driver = podtest.NewLoopback(func(_ context.Context, spec pod.Spec) (http.Handler, error) {
		return nil, &pod.StartError{Pod: spec.Name, Reason: "exit status 1", Log: []string{"ModuleNotFoundError"}}
	})
	p.engine.dispatch.driver = p.driver
	p.publish(t, store.Config{})
	e := p.run().untilEnd(t, p.submit(t, nil))
	expect(t, e, store.Failed, codeStartFailed)
	if e.PlatformFailures != 2 || e.AppFailures != 0 || e.Attempt != 2 ||
		!strings.Contains(e.Error.Message, "2 of 2 failures of the platform") || !strings.Contains(e.Error.Message, "ModuleNotFoundError") {
		t.Errorf("record %+v, error %+v", e, e.Error)
	}
}

func TestPodThatComesUpLaterGetsTheCall(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), nil, Config{})
	p.driver = podtest.NewLoopback(func(_ context.Context, spec pod.Spec) (http.Handler, error) {
		if p.driver.Started() == 1 {
			return nil, &pod.StartError{Pod: spec.Name, Reason: "exit status 1"}
		}
		return http.HandlerFunc(echo), nil
	})
	p.engine.dispatch.driver = p.driver
	p.publish(t, store.Config{})
	e := p.run().untilEnd(t, p.submit(t, []byte("late")))
	expect(t, e, store.Completed, "")
	if e.PlatformFailures == 0 || e.AppFailures != 0 {
		t.Errorf("record %+v", e)
	}
}

// waits is a record that waits for its next attempt.
func waits(e store.Execution) bool { return e.Status == store.Pending && !e.DueAt.IsZero() }

func TestWaitingHoldsNeitherASlotNorAPlaceInTheQueue(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			answering(500)(w, r)
			return
		}
		echo(w, r)
	}), Config{})
	p.publish(t, store.Config{MaxConcurrency: 1})
	p.run()
	policy := store.RetryPolicy{MaxAttempts: 2, InitialBackoff: time.Hour, MaxBackoff: time.Hour}
	waiting := p.until(t, p.submitWith(t, store.Execution{Retry: policy}, nil), waits)
	if waiting.Error == nil || waiting.Error.Code != codeAppError || waiting.AppFailures != 1 || waiting.Worker != "" || time.Until(waiting.DueAt) < 40*time.Minute {
		t.Errorf("record %+v", waiting)
	}
	expect(t, p.untilEnd(t, p.submit(t, []byte("in the meantime"))), store.Completed, "")
	p.untilNoWork(t)
	if later, err := p.stream.IsLater(t.Context(), waiting.ID); !later || err != nil {
		t.Errorf("it waits for its time: %v, %v", later, err)
	}
}

func TestWaitingOutlivesARestart(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := play(answering(500), echo)
	policy := store.RetryPolicy{MaxAttempts: 2, InitialBackoff: 2 * time.Second}
	first := newProcess(t, server, s, Config{Worker: "first"})
	first.publish(t, store.Config{})
	first.run()
	id := first.submitWith(t, store.Execution{Retry: policy}, []byte("kept"))
	first.until(t, id, waits)
	first.untilNoWork(t)
	first.stop(t)
	first.conn.Close()
	server.Restart(t)
	e := newProcess(t, server, s, Config{Worker: "second"}).run().untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if string(e.Result) != "kept" || e.Attempt != 2 || e.Worker != "second" {
		t.Errorf("record %+v, result %q", e, e.Result)
	}
}

func TestWorkThatComesBeforeItsTimeIsPutAway(t *testing.T) {
	t.Parallel()
	s := play(echo)
	p := start(t, s.ServeHTTP, Config{})
	far := p.submitWith(t, store.Execution{DueAt: time.Now().Add(time.Hour)}, nil)
	near := p.submitWith(t, store.Execution{DueAt: time.Now().Add(clockSkew / 5)}, nil)
	e := p.untilEnd(t, near)
	expect(t, e, store.Completed, "")
	if e.StartedAt.Before(p.record(t, near).DueAt) {
		t.Errorf("record %+v", e)
	}
	p.untilNoWork(t)
	if later, err := p.stream.IsLater(t.Context(), far); !later || err != nil || s.seen() != "1" {
		t.Errorf("it waits for its time: %v, %v; the pod saw attempts %q", later, err, s.seen())
	}
}

// While there is no room for what comes later, work waits in the queue; it leaves that as soon as there is.
func TestWorkLeavesTheQueueOnceThereIsRoomForLater(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), play(answering(500)), Config{})
	p.engine.worker.roomAgain = 50 * time.Millisecond
	p.publish(t, store.Config{})
	policy := store.RetryPolicy{MaxAttempts: 2, InitialBackoff: time.Hour, MaxBackoff: time.Hour}
	id := p.submitWith(t, store.Execution{Retry: policy}, nil)
	p.withoutStream(t, "IGNITE_LATER", func() {
		p.run().until(t, id, waits)
	})
	p.untilNoWork(t)
	if later, err := p.stream.IsLater(t.Context(), id); !later || err != nil {
		t.Errorf("it waits for its time: %v, %v", later, err)
	}
}
