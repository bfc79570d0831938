package gateway_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	"dodil.io/ignite/gateway"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// passages remembers the boundaries that were reached.
type passages struct {
	mu   sync.Mutex
	seen []gateway.Boundary
}

func (p *passages) reached(b gateway.Boundary) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, b)
}

// take answers what was reached since it was last asked.
func (p *passages) take() []gateway.Boundary {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

func TestOrderOfEffects(t *testing.T) {
	t.Parallel()
	var p passages
	s := start(t, func(c *gateway.Config) { c.Reached = p.reached })
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	want := func(what string, got []gateway.Boundary, want ...gateway.Boundary) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s reaches %v, want %v", what, got, want)
		}
	}
	large := make([]byte, store.MaxInline+1)
	s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: large})
	plain := p.take()
	if len(plain) == 5 {
		slices.Sort(plain[1:3]) // record and work are written side by side
	}
	want("a submission", plain, gateway.BodyStored, gateway.RecordCreated, gateway.WorkQueued, gateway.Accepted, gateway.SubmissionSynced)
	keyed := &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: large, IdempotencyKey: "k"}
	s.submit(t, keyed)
	inTurn := []gateway.Boundary{
		gateway.KeyClaimed, gateway.BodyStored, gateway.WorkQueued, gateway.RecordCreated, gateway.Accepted, gateway.SubmissionSynced,
	}
	want("a submission with a key", p.take(), inTurn...)
	s.submit(t, keyed)
	want("its repetition", p.take(), gateway.KeyClaimed, gateway.SubmissionSynced)
	old := s.endNext(t, store.AppRef{Org: "acme", Name: "hello"}, store.Failed)
	if _, err := s.redrive(t, "acme", old.ID); err != nil {
		t.Fatal(err)
	}
	want("a redrive", p.take(), append(inTurn, gateway.Redriven)...)
}
