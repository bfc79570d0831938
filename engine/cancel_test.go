package engine

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// cancel does to the record what a gateway does.
func (p *process) cancel(t testing.TB, id string) store.Execution {
	t.Helper()
	return p.update(t, p.record(t, id), func(e *store.Execution) {
		e.Status, e.Error = store.Cancelled, &store.ExecutionError{Code: "CANCELLED", Message: "enough"}
	})
}

// tell is how a gateway tells a worker.
func (p *process) tell(t testing.TB, worker, id string) {
	t.Helper()
	answers, err := p.stream.Ask(t.Context(), stream.CancelTopic(worker), []byte(id), patience)
	if err != nil || len(answers) != 1 {
		t.Fatalf("told %d workers, error %v", len(answers), err)
	}
}

// stuck is a handler that serves until its caller hangs up, unless the request's body says otherwise.
func stuck(called, left chan<- struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == "quick" {
			return
		}
		called <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	}
}

// cancellable is a process whose one slot is taken by an execution with a large request, which is answered with what its log says.
func cancellable(t *testing.T, renewEvery time.Duration) (p *process, id string, left <-chan struct{}, log *logBook) {
	called, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	p = newProcess(t, streamtest.Start(t), stuck(called, gone), Config{})
	log = new(logBook)
	p.engine.worker.log = slog.New(slog.NewTextHandler(log, nil))
	p.engine.worker.renewEvery = renewEvery
	p.publish(t, store.Config{MaxConcurrency: 1})
	p.run()
	id = p.submit(t, large(store.MaxInline+1<<10))
	receive(t, called, "call")
	return p, id, gone, log
}

// logBook keeps what is logged.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestCancelledCallIsCut(t *testing.T) {
	t.Parallel()
	const never = time.Hour
	p, id, left, log := cancellable(t, never)
	cancelled := p.cancel(t, id)
	p.tell(t, "worker-1", id)
	receive(t, left, "end of the pod's request")
	expect(t, p.untilEnd(t, p.submit(t, []byte("quick"))), store.Completed, "")
	p.untilNoWork(t)
	p.untilNoPayload(t, cancelled.RequestObject)
	if now := p.record(t, id); now.Revision != cancelled.Revision {
		t.Errorf("record was written to %+v", now)
	}
	if letters, err := p.stream.DeadLetters(t.Context(), []string{id}); err != nil || letters[id] {
		t.Errorf("dead letters %v, error %v", letters, err)
	}
	if text := log.String(); text != "" {
		t.Errorf("a cancellation is nothing to tell, but the log has %s", text)
	}
}

func TestCancellationThatNobodyToldIsNoticed(t *testing.T) {
	t.Parallel()
	p, id, left, _ := cancellable(t, 10*time.Millisecond)
	p.cancel(t, id)
	receive(t, left, "end of the pod's request")
	p.untilNoWork(t)
	expect(t, p.record(t, id), store.Cancelled, "CANCELLED")
}

func TestCancellationOfWhatIsNotRunning(t *testing.T) {
	t.Parallel()
	p := start(t, echo, Config{})
	p.untilEnd(t, p.submit(t, nil))
	answers, err := p.stream.Ask(t.Context(), stream.CancelTopic("worker-1"), []byte(store.NewExecutionID()), patience)
	if err != nil || len(answers) != 1 || string(answers[0]) != "not running" {
		t.Errorf("answers %q, error %v", answers, err)
	}
}

func TestExecutionCancelledBeforeItRanIsNotRun(t *testing.T) {
	t.Parallel()
	s := play(echo)
	p := newProcess(t, streamtest.Start(t), s, Config{})
	p.publish(t, store.Config{})
	id := p.submit(t, nil)
	p.cancel(t, id)
	p.run()
	p.untilNoWork(t)
	expect(t, p.record(t, id), store.Cancelled, "CANCELLED")
	if s.seen() != "" {
		t.Errorf("the pod saw attempts %s", s.seen())
	}
}

// A call that is cut without anybody having written its record is repeated, not forgotten.
func TestCallThatWasCutForNothingIsRepeated(t *testing.T) {
	t.Parallel()
	called, left := make(chan struct{}, 1), make(chan struct{}, 1)
	s := play(stuck(called, left), echo)
	p := start(t, s.ServeHTTP, Config{})
	id := p.submit(t, []byte("again"))
	receive(t, called, "call")
	p.tell(t, "worker-1", id)
	e := p.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if string(e.Result) != "again" || s.seen() != "1 2" || e.AppFailures+e.PlatformFailures != 0 {
		t.Errorf("record %+v, the pod saw attempts %s", e, s.seen())
	}
}
