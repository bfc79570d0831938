package engine

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// restart takes NATS away, while somebody submits who does not wait for long, and brings it back.
func (w *world) restart() {
	w.goOn(crowd) // a connection that stands still keeps the server from stopping
	w.server.Stop(w.t)
	w.submitWithin(50 * time.Millisecond)
	w.server.Resume(w.t)
	w.gateway.untilConnected(w.t)
}

// deleteConsumers makes JetStream forget who has which work.
func (w *world) deleteConsumers() {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	js, err := jetstream.New(w.server.Conn)
	if err != nil {
		w.t.Fatal(err)
	}
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if !strings.HasPrefix(name, "IGNITE_WORK_") && name != "IGNITE_LATER" {
			continue
		}
		found, err := js.Stream(ctx, name)
		if err != nil {
			return
		}
		for consumer := range found.ConsumerNames(ctx).Name() {
			_ = js.DeleteConsumer(ctx, name, consumer) // it may be gone already
		}
	}
}

// takeJob takes a job and gives it back, or dies with it.
func (w *world) takeJob() {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	queue, err := w.gateway.stream.Queue(ctx, appOf(testApp))
	if err != nil {
		return
	}
	for job, err := range queue.Take(ctx, 1, 0) {
		if err == nil && w.chance(50) {
			_ = job.Return(ctx, w.upTo(500*time.Millisecond)) // or it comes again after AckWait
		}
	}
	_ = queue.Close() // its connection may be lost
}
