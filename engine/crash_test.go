package engine

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

// deadAt runs a worker that is dead to everybody else from the given boundary on, and answers when it is.
func deadAt(t *testing.T, server *streamtest.Server, boundary Boundary, handler http.Handler) (p *process, dead <-chan struct{}) {
	gone := make(chan struct{})
	var once sync.Once
	p = newProcess(t, server, handler, Config{Worker: "first", DrainTime: time.Millisecond, Reached: func(b Boundary) {
		if b == boundary {
			once.Do(func() {
				p.conn.Close()
				close(gone)
			})
		}
	}})
	return p, gone
}

// story is a way through the boundaries.
type story struct {
	handler http.HandlerFunc
	retry   store.RetryPolicy
	status  store.Status
	code    string
	through []Boundary
}

var stories = map[string]story{
	"completes": {
		handler: streamBack,
		status:  store.Completed,
		through: []Boundary{
			JobTaken, RecordTaken, PodChosen, AnswerBegun, ChunkStored, AnswerRead, ResultStored, RecordSettled, OutcomeSynced, RequestDropped, JobAcknowledged,
		},
	},
	"fails": {
		handler: answering(404),
		status:  store.Failed,
		code:    codeAppError,
		through: []Boundary{JobTaken, RecordTaken, PodChosen, AnswerBegun, AnswerRead, RecordSettled, DeadLetterKept, OutcomeSynced, JobAcknowledged},
	},
	"is repeated": {
		handler: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(pod.HeaderAttempt) == "1" {
				answering(500)(w, r)
				return
			}
			streamBack(w, r)
		},
		retry:   store.RetryPolicy{MaxAttempts: 2, InitialBackoff: 1500 * time.Millisecond},
		status:  store.Completed,
		through: []Boundary{RecordPostponed, WorkPostponed},
	},
}

// streamBack answers with the request's body, in an answer of unknown length.
func streamBack(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_ = http.NewResponseController(w).Flush()
	_, _ = w.Write(body)
}

// Wherever a worker dies, the execution ends once and as it should, and nothing of it is left over.
func TestWorkerThatDiesBetweenTwoEffects(t *testing.T) {
	t.Parallel()
	passed := make(map[Boundary]bool)
	for name, s := range stories {
		for _, boundary := range s.through {
			passed[boundary] = true
			t.Run(name+"/"+string(boundary), func(t *testing.T) {
				t.Parallel()
				s.diesAt(t, boundary)
			})
		}
	}
	for _, boundary := range Boundaries() {
		if !passed[boundary] {
			t.Errorf("no story passes %s", boundary)
		}
	}
}

func (s story) diesAt(t *testing.T, boundary Boundary) {
	server := streamtest.Start(t)
	first, dead := deadAt(t, server, boundary, s.handler)
	first.publish(t, store.Config{})
	second := newProcess(t, server, s.handler, Config{Worker: "second"})
	body := large(store.MaxInline + 1<<10)
	id := second.submitWith(t, store.Execution{Retry: s.retry}, body)
	first.run()
	receive(t, dead, string(boundary))
	second.run()
	e := second.untilEnd(t, id)
	second.untilNotLater(t, id)
	second.untilNoWork(t)
	expect(t, e, s.status, s.code)
	if now := second.record(t, id); now.Revision != e.Revision {
		t.Errorf("the end was written again: %+v, then %+v", e, now)
	}
	s.leaves(t, second, e, body)
}

// leaves checks what there is of an execution after its end.
func (s story) leaves(t *testing.T, p *process, e store.Execution, body []byte) {
	t.Helper()
	failed := s.status != store.Completed
	if letters, err := p.stream.DeadLetters(t.Context(), []string{e.ID}); err != nil || letters[e.ID] != failed {
		t.Errorf("dead letters %v, error %v", letters, err)
	}
	request, err := p.store.Payload(t.Context(), e.RequestObject)
	if failed && !bytes.Equal(request, body) || !failed && !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%d bytes of the request are left, error %v", len(request), err)
	}
	if failed {
		return
	}
	if result, err := p.store.Result(t.Context(), e); err != nil || !bytes.Equal(result, body) {
		t.Errorf("result of %d bytes, error %v", len(result), err)
	}
}

// untilNotLater waits until no work is stored for later: what a dead worker stored comes again after the end, and is dropped.
func (p *process) untilNotLater(t testing.TB, id string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		later, err := p.stream.IsLater(t.Context(), id)
		if err != nil {
			t.Fatalf("look for later work: %v", err)
		}
		if !later {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("work is stored for later after %v", patience)
		}
		<-time.After(5 * time.Millisecond)
	}
}
