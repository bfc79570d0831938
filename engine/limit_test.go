package engine

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// hall is an app whose calls stay until they are let go, and which knows how many there were at a time.
type hall struct {
	leave chan struct{}

	mu        sync.Mutex
	now, most int
	entered   chan struct{}
}

func newHall() *hall { return &hall{leave: make(chan struct{}), entered: make(chan struct{}, 1000)} }

func (h *hall) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.count(1)
	h.entered <- struct{}{}
	<-h.leave
	h.count(-1)
	echo(w, r)
}

func (h *hall) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now += n
	h.most = max(h.most, h.now)
}

func (h *hall) mostAtATime() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.most
}

// A limit of calls in flight holds over all workers, and a new one does without a restart.
func TestLimitOfAsyncCallsInFlight(t *testing.T) {
	t.Parallel()
	server, h := streamtest.Start(t), newHall()
	first := newProcess(t, server, h, Config{Worker: "first"})
	first.publish(t, store.Config{MaxConcurrency: 50, MaxAsyncInFlight: 3})
	var ids []string
	for range 20 {
		ids = append(ids, first.submit(t, nil))
	}
	first.run()
	newProcess(t, server, h, Config{Worker: "second"}).run()
	for range 3 {
		receive(t, h.entered, "call")
	}
	for range 5 {
		h.leave <- struct{}{}
		receive(t, h.entered, "call")
	}
	if most := h.mostAtATime(); most != 3 {
		t.Errorf("%d calls were in flight, and 3 is the limit", most)
	}
	first.limit(t, 6)
	for range 3 {
		receive(t, h.entered, "call under the new limit")
	}
	close(h.leave)
	for _, id := range ids {
		expect(t, first.untilEnd(t, id), store.Completed, "")
	}
	if most := h.mostAtATime(); most != 6 {
		t.Errorf("%d calls were in flight, and 6 was the highest limit", most)
	}
}

// limit changes the app's setting, as its owner does.
func (p *process) limit(t *testing.T, most uint32) {
	t.Helper()
	_, err := p.store.UpdateApp(t.Context(), testApp, func(app *store.App) error {
		app.MaxAsyncInFlight = most
		return nil
	})
	if err != nil {
		t.Fatalf("change the limit: %v", err)
	}
}

// What waits for its next attempt holds no place in the limit, however short the pause is.
func TestWaitingForARetryHoldsNoPlaceInTheLimit(t *testing.T) {
	t.Parallel()
	var calls counter
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.count(r)
		if r.Header.Get(pod.HeaderAttempt) == "1" && r.ContentLength > 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}), Config{})
	p.publish(t, store.Config{MaxAsyncInFlight: 1})
	none, fails := 0.0, store.NewExecutionID()
	p.create(t, store.Execution{ID: fails, Retry: store.RetryPolicy{
		MaxAttempts: 2, InitialBackoff: 900 * time.Millisecond, MaxBackoff: 900 * time.Millisecond, Jitter: &none}})
	p.enqueue(t, fails, []byte("fail"))
	p.run()
	waiting := p.until(t, fails, func(e store.Execution) bool { return e.Status == store.Pending && e.Attempt == 1 })
	other := p.untilEnd(t, p.submit(t, nil))
	expect(t, other, store.Completed, "")
	if !other.FinishedAt.Before(waiting.DueAt) {
		t.Errorf("the other ended at %v, only after the wait until %v", other.FinishedAt, waiting.DueAt)
	}
	expect(t, p.untilEnd(t, fails), store.Completed, "")
}

// One app's backlog was there first and keeps all places of the process; another app's call begins before any of its calls is over.
func TestAnotherAppsCallBeginsBeforeABacklogIsOver(t *testing.T) {
	t.Parallel()
	h := newHall()
	p := newProcess(t, streamtest.Start(t), h, Config{})
	p.engine.worker.places = newBudget(4, 1)
	p.publish(t, store.Config{})
	var ids []string
	for range 20 {
		ids = append(ids, p.submit(t, nil))
	}
	p.run()
	for range 4 {
		receive(t, h.entered, "call of the backlog")
	}
	quiet := p.submitTo(t, store.AppRef{Org: "globex", Name: "quiet"})
	receive(t, h.entered, "call of the other app")
	p.until(t, quiet, func(e store.Execution) bool { return e.Status == store.Running })
	close(h.leave)
	for _, id := range append(ids, quiet) {
		expect(t, p.untilEnd(t, id), store.Completed, "")
	}
}

// submitTo publishes another app and submits a call of it.
func (p *process) submitTo(t *testing.T, ref store.AppRef) string {
	t.Helper()
	app, err := p.store.CreateApp(t.Context(), store.App{AppRef: ref})
	if err != nil {
		t.Fatalf("create app: %v", err)
	}
	if _, _, err := p.store.PublishVersion(t.Context(), store.Version{AppRef: ref, Incarnation: app.Incarnation}, nil); err != nil {
		t.Fatalf("publish: %v", err)
	}
	id := store.NewExecutionID()
	_, err = p.store.CreateExecution(t.Context(), store.Execution{
		ID: id, Org: caller, App: ref, Incarnation: app.Incarnation, Version: 1, CreatedAt: time.Now()})
	if err != nil {
		t.Fatalf("create record: %v", err)
	}
	request, err := pod.EncodeHead(pod.Head{Identity: pod.Identity{ExecutionID: id, FunctionID: ref.String(), OrganizationID: caller}})
	if err != nil {
		t.Fatalf("encode head: %v", err)
	}
	if err := p.stream.Enqueue(t.Context(), stream.Work{Execution: id, Owner: caller, App: appOf(ref), Request: request}); err != nil {
		t.Fatalf("enqueue: %v", err)
	}
	return id
}

// Large bodies are in memory only as far as there is room for them; one that is larger than all of it has its turn too.
func TestLargeBodiesWaitForMemory(t *testing.T) {
	t.Parallel()
	h := newHall()
	p := newProcess(t, streamtest.Start(t), h, Config{})
	p.engine.worker.objects = newBudget(3<<20, 0)
	p.publish(t, store.Config{})
	bodies := [][]byte{large(1 << 20), large(5 << 20), large(2 << 20)}
	var ids []string
	for _, body := range bodies {
		ids = append(ids, p.submit(t, body))
	}
	p.run()
	for range bodies {
		receive(t, h.entered, "call")
		h.leave <- struct{}{}
	}
	for i, id := range ids {
		e := p.untilEnd(t, id)
		expect(t, e, store.Completed, "")
		if result, err := p.store.Result(t.Context(), e); err != nil || !bytes.Equal(result, bodies[i]) {
			t.Errorf("result of %d bytes, %v", len(result), err)
		}
	}
	if most := h.mostAtATime(); most != 1 && most != 2 {
		t.Errorf("%d calls were made at a time", most)
	}
	p.untilAllIsGivenBack(t)
}

// Bodies that came with their messages are bounded too: what there is no memory for stays in the queue.
func TestBodiesOfMessagesWaitForMemory(t *testing.T) {
	t.Parallel()
	h := newHall()
	p := newProcess(t, streamtest.Start(t), h, Config{})
	p.engine.worker.bodies = newBudget(2<<20, 0)
	p.publish(t, store.Config{})
	var ids []string
	for n := range 12 {
		ids = append(ids, p.submit(t, bytes.Repeat(fmt.Append(nil, n%10), store.MaxInline)))
	}
	p.run()
	close(h.leave)
	for _, id := range ids {
		expect(t, p.untilEnd(t, id), store.Completed, "")
	}
	if most := h.mostAtATime(); most > 4 {
		t.Errorf("%d bodies of 512 KiB were in memory, and there is room for 2 MiB", most)
	}
	p.untilAllIsGivenBack(t)
}

// untilAllIsGivenBack waits until nothing of the process's budgets is in use: jobs give back what they have just after their end is seen.
func (p *process) untilAllIsGivenBack(t *testing.T) {
	t.Helper()
	p.untilNoWork(t)
	p.stop(t)
	w := p.engine.worker
	for name, b := range map[string]*budget{"places": w.places, "bodies": w.bodies, "objects": w.objects} {
		if b.all.used != 0 || len(b.orgs) != 0 {
			t.Errorf("%d of the %s are in use when nothing runs", b.all.used, name)
		}
	}
}
