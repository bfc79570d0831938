package engine

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// disk is the sync of a process's store.
type disk struct {
	broken atomic.Bool
	// tried hears of each sync that failed.
	tried chan struct{}
}

// withDisk gives a process that does not run yet a disk that can be broken.
func withDisk(t *testing.T, p *process, server *streamtest.Server) *disk {
	t.Helper()
	d := &disk{tried: make(chan struct{}, 100)}
	failing, err := store.Open(t.Context(), store.Options{Conn: p.conn, Logger: p.engine.config.Logger, Sync: func(ctx context.Context) error {
		if d.broken.Load() {
			d.tried <- struct{}{}
			return errors.New("disk is gone")
		}
		return server.Sync(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = failing.Close() })
	p.engine.worker.store = failing
	return d
}

func workStaysUntilItsOutcomeIsOnDisk(t *testing.T) {
	server := streamtest.Start(t)
	p := newProcess(t, server, http.HandlerFunc(echo), Config{})
	d := withDisk(t, p, server)
	p.publish(t, store.Config{})
	id := p.submit(t, nil)
	d.broken.Store(true)
	p.run()
	p.untilEnd(t, id)
	receive(t, d.tried, "sync")
	if inQueue, _ := p.placesOf(t, id); !inQueue {
		t.Error("its work is gone")
	}
	d.broken.Store(false)
	p.untilNoWork(t)
}

func workStaysUntilLaterWorkIsOnDisk(t *testing.T) {
	server := streamtest.Start(t)
	app := play(answering(http.StatusInternalServerError), echo)
	p := newProcess(t, server, app, Config{})
	d := withDisk(t, p, server)
	p.publish(t, store.Config{})
	id := p.submitWith(t, store.Execution{Retry: store.RetryPolicy{MaxAttempts: 2, InitialBackoff: 2 * time.Second}}, nil)
	d.broken.Store(true)
	p.run()
	receive(t, d.tried, "sync")
	if inQueue, later := p.placesOf(t, id); !inQueue || !later {
		t.Errorf("in the queue %v, stored for later %v; want both", inQueue, later)
	}
	d.broken.Store(false)
	expect(t, p.untilEnd(t, id), store.Completed, "")
	if app.seen() != "1 2" {
		t.Errorf("the pod saw attempts %s, want two", app.seen())
	}
	p.untilNoWork(t)
}

// withoutStream lets do happen while a stream is missing, and makes the stream again.
func (p *process) withoutStream(t *testing.T, name string, do func()) {
	t.Helper()
	js, err := jetstream.New(p.conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), name); err != nil {
		t.Fatalf("delete stream %s: %v", name, err)
	}
	do()
	again, err := stream.Open(t.Context(), stream.Options{Conn: p.conn, AckWait: ackWait})
	if err != nil {
		t.Fatalf("make stream %s again: %v", name, err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func workStaysUntilItsDeadLetterIsKept(t *testing.T) {
	passed := make(chan Boundary, 1000)
	app := play(answering(http.StatusInternalServerError))
	p := newProcess(t, streamtest.Start(t), app, Config{Reached: func(b Boundary) { passed <- b }})
	p.publish(t, store.Config{})
	id := p.submit(t, []byte("send me again"))
	p.withoutStream(t, "IGNITE_DEADLETTER", func() {
		p.run()
		for taken := 0; taken < 2; {
			switch b := receive(t, passed, "boundary"); b {
			case JobTaken:
				taken++ // once, and again since it was not acknowledged
			case DeadLetterKept, JobAcknowledged:
				t.Fatalf("%s is reached without a dead letter", b)
			}
		}
	})
	p.untilNoWork(t)
	letter, err := p.stream.DeadLetter(t.Context(), id)
	if err != nil || string(letter.Body) != "send me again" || app.seen() != "1" {
		t.Errorf("dead letter %+v, error %v; the pod saw attempts %s", letter, err, app.seen())
	}
}

func workStaysIfItCannotBeStoredForLater(t *testing.T) {
	p := newProcess(t, streamtest.Start(t), play(answering(http.StatusInternalServerError), echo), Config{})
	p.publish(t, store.Config{})
	id := p.submitWith(t, store.Execution{Retry: store.RetryPolicy{MaxAttempts: 2, InitialBackoff: 2 * time.Second}}, nil)
	p.withoutStream(t, "IGNITE_LATER", func() {
		p.run().until(t, id, waits)
		if inQueue, err := p.stream.Waits(t.Context(), appOf(testApp), id); err != nil || !inQueue {
			t.Errorf("in the queue %v, error %v", inQueue, err)
		}
		expect(t, p.untilEnd(t, id), store.Completed, "")
	})
	p.untilNoWork(t)
}
