package engine

import (
	"bytes"
	"net/http"
	"testing"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

func TestDeadLetterIsKeptWithItsRequest(t *testing.T) {
	t.Parallel()
	p := start(t, answering(404), Config{})
	body := large(store.MaxInline + 1<<10)
	id := p.submit(t, body)
	e := p.untilEnd(t, id)
	p.untilNoWork(t)
	letter, err := p.stream.DeadLetter(t.Context(), id)
	if err != nil || letter.Execution != id || letter.Owner != caller || letter.App != (stream.App{Org: testApp.Org, Name: testApp.Name}) {
		t.Fatalf("dead letter %+v, error %v", letter, err)
	}
	kept, err := p.store.Payload(t.Context(), e.RequestObject)
	if err != nil || !bytes.Equal(kept, body) {
		t.Errorf("%d bytes of the request are kept, error %v", len(kept), err)
	}
}

// What was not done before its worker died is done when the work comes again.
func TestDeadLetterOfADeadWorkerIsKept(t *testing.T) {
	t.Parallel()
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{})
	p.publish(t, store.Config{})
	body := large(store.MaxInline + 1<<10)
	id := p.submit(t, body)
	record := p.update(t, p.record(t, id), func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, 1, "dead" })
	p.update(t, record, func(e *store.Execution) { e.Status = store.Failed })
	p.run()
	p.untilNoWork(t)
	if _, err := p.stream.DeadLetter(t.Context(), id); err != nil {
		t.Errorf("dead letter: %v", err)
	}
	if kept, err := p.store.Payload(t.Context(), record.RequestObject); err != nil || !bytes.Equal(kept, body) {
		t.Errorf("%d bytes of the request are kept, error %v", len(kept), err)
	}
}

func TestWhatCompletedIsNoDeadLetter(t *testing.T) {
	t.Parallel()
	p := start(t, echo, Config{})
	id := p.submit(t, nil)
	p.untilEnd(t, id)
	p.untilNoWork(t)
	if letters, err := p.stream.DeadLetters(t.Context(), []string{id}); err != nil || letters[id] {
		t.Errorf("dead letters %v, error %v", letters, err)
	}
}
