package stream_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"dodil.io/ignite/stream"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	changes := 0
	for err := range s.Changes(within(t, patience), running) {
		if err != nil {
			t.Fatal(err)
		}
		if changes++; changes == 5 {
			break
		}
		tellRecord(t, server.Conn)
	}
	if changes != 5 {
		t.Errorf("there were %d changes, want 5", changes)
	}
	wantNoConsumers(t, server.Conn)
}

// What happens while the reader is busy is one change, and output is none.
func TestChangesCoalesce(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	ctx, cancel := context.WithCancel(within(t, patience))
	defer cancel()
	changes := 0
	for err := range s.Changes(ctx, running) {
		if err != nil {
			t.Fatal(err)
		}
		switch changes++; changes {
		case 1:
			for range 100 {
				tellRecord(t, server.Conn)
			}
			publish(t, s, 1, 0, 1, 2)
			// The hub has heard all of it once another watcher, who began later, is told of a last change.
			awaitChange(t, s, func() { tellRecord(t, server.Conn) })
		case 2:
			cancel()
		}
	}
	if changes != 2 {
		t.Errorf("there were %d changes, want 2", changes)
	}
}

// awaitChange returns once somebody who follows the execution has heard of what happen does.
func awaitChange(t *testing.T, s *stream.Stream, happen func()) {
	t.Helper()
	first := true
	for err := range s.Changes(within(t, patience), running) {
		if err != nil {
			t.Fatal(err)
		}
		if !first {
			return
		}
		first = false
		happen()
	}
}

func TestChangesAcrossRestart(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	var restarting sync.WaitGroup
	changes := 0
	for err := range s.Changes(within(t, patience), running) {
		if err != nil {
			t.Fatal(err)
		}
		if changes++; changes == 2 {
			break
		}
		restarting.Go(func() { server.Restart(t) })
	}
	restarting.Wait()
	if changes != 2 {
		t.Errorf("there were %d changes, want 2", changes)
	}
}

func TestChangesEnd(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	var closing sync.WaitGroup
	var last error
	for err := range s.Changes(within(t, patience), running) {
		if last = err; err == nil {
			closing.Go(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	closing.Wait()
	if !errors.Is(last, stream.ErrClosed) {
		t.Errorf("ended with %v, want ErrClosed", last)
	}
	for err := range s.Changes(t.Context(), "a.b") {
		if !errors.Is(err, stream.ErrInvalid) {
			t.Errorf("of a wildcard: %v", err)
		}
	}
}
