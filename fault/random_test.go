package fault

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// The server is killed at random moments under load, and starts again on the same folder. The long form does so in several folders side by
// side: what is looked at after each kill grows with all that happened before.
func TestKillAtRandom(t *testing.T) {
	p := real(t)
	t.Parallel()
	if !*long {
		killAtRandom(t, p, 10)
		return
	}
	for range 4 {
		t.Run("folder", func(t *testing.T) {
			t.Parallel()
			killAtRandom(t, p, 40)
		})
	}
}

func killAtRandom(t *testing.T, p Programs, kills int) {
	t.Helper()
	s := NewServer(t, p)
	w := newWorld(t, s.Inspect(t), s)
	submitting, stop := context.WithCancel(t.Context())
	defer stop()
	load := w.load(8, Mix()...)
	load.Pause = 10 * time.Millisecond
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		load.Run(submitting, t.Context())
	}()
	for range kills {
		life := time.Duration(200+rand.IntN(3000)) * time.Millisecond
		select {
		case <-time.After(life):
		case <-s.Exited():
			t.Fatalf("the server ended by itself:\n%s", s.Tail())
		}
		began := time.Now()
		s.Kill()
		w.Kill("random", began)
		autopsy(t, s, w.Ledger)
		s.Start(t)
	}
	stop()
	<-stopped
	load.Followed()
	w.settled(t, time.Minute)
	if report := w.verdict(t); report.Kills != kills || report.Duplicates == 0 {
		t.Errorf("%d kills, want %d, of which some must have hit a call", report.Kills, kills)
	}
}
