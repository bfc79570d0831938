package engine

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// What is not the app's doing is tried again, however it is wrapped; what is its doing is an end.
func TestHandsBack(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		pod.ErrBusy:               true,
		errEvicted:                true,
		store.ErrUnavailable:      true,
		stream.ErrUnavailable:     true, // the output could not be published
		stream.ErrTooLarge:        false,
		pod.ErrBroken:             false,
		errResultTooLarge:         false,
		errors.New("another one"): false,
	} {
		if got := handsBack(fmt.Errorf("publish output: %w", err)); got != want {
			t.Errorf("%v hands back: %v, want %v", err, got, want)
		}
	}
}

// What a worker gives back may come to the same one at once, before it knows that the queue has it back.
func TestWorkThatIsGivenBackMayComeToTheSameWorker(t *testing.T) {
	t.Parallel()
	p := newPatientProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{}, 2*patience)
	p.publish(t, store.Config{})
	var ids []string
	for range 50 {
		id := store.NewExecutionID()
		// Somebody else has taken it and handed it back since this process created it.
		record := p.createRecord(t, id, "")
		for _, status := range []store.Status{store.Running, store.Pending} {
			record.Status, record.Attempt = status, 1
			var err error
			if record, err = p.store.UpdateExecution(t.Context(), record); err != nil {
				t.Fatal(err)
			}
		}
		p.enqueue(t, id, nil)
		ids = append(ids, id)
	}
	p.run()
	for _, id := range ids {
		expect(t, p.untilEnd(t, id), store.Completed, "")
	}
}

// The work of a lost worker is not left to it because its record was created here, when nobody had taken it yet.
func TestWorkOfALostWorkerIsTakenOverWhereItWasSubmitted(t *testing.T) {
	t.Parallel()
	p := newPatientProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{}, 2*patience)
	p.publish(t, store.Config{})
	id := store.NewExecutionID()
	record := p.createRecord(t, id, "")
	record.Status, record.Attempt, record.Worker, record.StartedAt = store.Running, 1, "lost", time.Now()
	if _, err := p.store.UpdateExecution(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	p.enqueue(t, id, nil)
	queue, err := p.stream.Queue(t.Context(), appOf(testApp))
	if err != nil {
		t.Fatal(err)
	}
	for job, err := range queue.Take(t.Context(), 1, patience) {
		if err != nil {
			t.Fatal(err)
		}
		if err := job.Return(t.Context(), 0); err != nil { // as if the queue's patience had ended
			t.Fatal(err)
		}
	}
	if err := queue.Close(); err != nil {
		t.Fatal(err)
	}
	p.run()
	e := p.untilEnd(t, id)
	expect(t, e, store.Completed, "")
	if e.Attempt != 2 || e.PlatformFailures != 1 {
		t.Errorf("attempt %d with %d failures of the platform, want the second after one", e.Attempt, e.PlatformFailures)
	}
}
