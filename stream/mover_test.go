package stream

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A mover that died after it had put the work into the queue, and before it said so, leaves it to another. The work must not
// be moved twice.
func TestMovedWorkIsRecognised(t *testing.T) {
	t.Parallel()
	s := openStream(t)
	app := App{"acme", "hello"}
	work := Work{Execution: "exec_1", Owner: "acme", App: app}
	message := takeDue(t, s, work)
	for _, time := range []string{"the first time", "the second time"} {
		if moved, err := s.enqueueDue(t.Context(), message); err != nil || !moved {
			t.Errorf("%s it is moved: %t, %v", time, moved, err)
		}
	}
	later := takeDue(t, s, work)
	if moved, err := s.enqueueDue(t.Context(), later); err != nil || moved {
		t.Errorf("work of a later attempt is taken for moved: %t, %v", moved, err)
	}
}

// takeDue answers the message that work for now becomes.
func takeDue(t *testing.T, s *Stream, work Work) *nats.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	due, err := s.newPuller(ctx, laterStream, moverConfig(s.options), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = due.close() }()
	if err := s.EnqueueLater(ctx, work, time.Now(), true); err != nil {
		t.Fatal(err)
	}
	var taken *nats.Msg
	err = due.take(ctx, 1, 0, 20*time.Second, func(message *nats.Msg) error {
		taken = message
		return nil
	})
	if err != nil || taken == nil {
		t.Fatalf("nothing is due: %v", err)
	}
	return taken
}
