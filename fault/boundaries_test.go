package fault

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/gateway"
)

// boundaries answers the names of all moments between two effects.
func boundaries() []string {
	var names []string
	for _, b := range gateway.Boundaries() {
		names = append(names, string(b))
	}
	for _, b := range engine.Boundaries() {
		names = append(names, string(b))
	}
	return names
}

// The server dies at each boundary between two effects, with calls of every kind under way, and starts again on the same folder.
func TestKillAtEveryBoundary(t *testing.T) {
	p := real(t)
	t.Parallel()
	s := NewServer(t, p)
	w := newWorld(t, s.Inspect(t), s)
	passages := []int{2}
	if *long {
		passages = []int{1, 2, 10}
	}
	for _, boundary := range boundaries() {
		for _, passage := range passages {
			w.dieAt(t, s, boundary, passage)
		}
	}
	if report := w.verdict(t); report.Kills != len(boundaries())*len(passages) {
		t.Errorf("%d kills, want %d", report.Kills, len(boundaries())*len(passages))
	}
}

// dieAt has a process come to its boundary under load, and the next one clear up.
func (w *world) dieAt(t *testing.T, s *Server, boundary string, passage int) {
	t.Helper()
	s.Stop(t)
	s.Start(t, fmt.Sprintf("IGNITE_FAULT_AT=%s:%d", boundary, passage))
	submitting, stop := context.WithCancel(t.Context())
	load := w.load(6, Mix()...)
	load.Pause = 20 * time.Millisecond
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		load.Run(submitting, t.Context())
	}()
	select {
	case <-s.Exited():
	case <-time.After(30 * time.Second):
	}
	died := time.Now().Add(-100 * time.Millisecond)
	stop()
	if err := s.endedAt(boundary); err != nil {
		s.Kill()
		t.Errorf("boundary %s, passage %d: %v", boundary, passage, err)
	}
	w.Kill(boundary, died)
	autopsy(t, s, w.Ledger)
	s.Start(t)
	<-stopped
	load.Followed()
	t.Logf("killed at %s, passage %d", boundary, passage)
	w.settled(t, 30*time.Second)
}

// endedAt says what is wrong unless the process killed itself at the boundary.
func (s *Server) endedAt(boundary string) error {
	select {
	case <-s.Exited():
	default:
		return fmt.Errorf("it is never reached")
	}
	if !s.Killed() || !strings.Contains(s.Tail(), "fault: "+boundary) {
		return fmt.Errorf("the process ended otherwise:\n%s", s.Tail())
	}
	return nil
}
