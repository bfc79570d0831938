package engine

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// A job that waits for the pod that starts takes one of its slots, not two.
func TestColdStartTakesWorkForEverySlot(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	p := newProcess(t, streamtest.Start(t), nil, Config{})
	p.driver = podtest.NewLoopback(func(context.Context, pod.Spec) (http.Handler, error) {
		<-release
		return http.HandlerFunc(echo), nil
	})
	p.engine.dispatch.driver = p.driver
	p.engine.worker.idle = 10 * time.Millisecond // or one pull would go on to take what comes
	p.publish(t, store.Config{MaxConcurrency: 10, Scaling: store.Scaling{MaxReplicas: 1}})
	p.run()
	var ids []string
	for range 2 {
		for range 5 {
			ids = append(ids, p.submit(t, nil))
		}
		for _, id := range ids {
			p.until(t, id, func(e store.Execution) bool { return e.Status == store.Running })
		}
	}
	over := p.submit(t, nil)
	if n, _, err := p.engine.dispatch.vacancies(t.Context(), testApp); n != 10 || err != nil {
		t.Errorf("%d vacancies, error %v; the pod will have 10 slots, and the taker counts its jobs itself", n, err)
	}
	close(release)
	for _, id := range append(ids, over) {
		expect(t, p.untilEnd(t, id), store.Completed, "")
	}
}

func TestVacanciesOfAColdAppLeaveOutWhoCallsDirectly(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{MaxConcurrency: 5})
		b.starting = func(ctx context.Context, _ pod.Spec) error { return sleep(ctx, time.Minute) }
		answers := make(chan error, 3)
		for _, from := range []origin{direct, queued, queued} {
			go func() { answers <- b.do(t.Context(), testApp, from, func(grant) error { return nil }) }()
		}
		synctest.Wait()
		if n, _, err := b.vacancies(t.Context(), testApp); n != 4 || err != nil {
			t.Errorf("%d vacancies, error %v, want those that the one direct call leaves", n, err)
		}
		for range 3 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestQueuedWorkGivesUpPodsThatCannotBeReached(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		tries := 0
		err := b.do(t.Context(), testApp, queued, func(grant) error {
			tries++
			return pod.ErrUnreachable
		})
		if !errors.Is(err, pod.ErrUnreachable) || tries != queuedTries {
			t.Errorf("after %d tries: %v; want %d tries, then the error", tries, err, queuedTries)
		}
	})
}

// Nobody tells that a dead worker's work can be had again: who may take it listens as long as it is held.
func TestTakerStaysWhileWorkIsHeldAnywhere(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	p := newProcess(t, server, http.HandlerFunc(echo), Config{})
	p.engine.worker.idle = 10 * time.Millisecond
	p.publish(t, store.Config{})
	held := p.submit(t, []byte("held"))
	queue, err := p.stream.Queue(t.Context(), stream.App{Org: testApp.Org, Name: testApp.Name})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range queue.Take(t.Context(), 1, patience) { // by a worker that says nothing more
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := queue.Close(); err != nil {
		t.Fatal(err)
	}
	p.run()
	p.engine.worker.sweepSoon()
	began := time.Now()
	expect(t, p.untilEnd(t, held), store.Completed, "")
	if waited := time.Since(began); waited > sweepEvery/2 {
		t.Errorf("it was taken over after %v, want one AckWait of %v", waited, ackWait)
	}
}

// An app whose calls take long does not wait for one of them to end when others have given their places back.
func TestTakerGetsPlacesThatOthersGiveBack(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bench) {
		b.shelf.publish(store.Config{})
		places := newBudget(2, 1)
		tk := newTaker(&worker{dispatch: b.dispatcher}, appOf(testApp))
		tk.place = places.open(tk.app)
		other := shareOf(places, "globex", "other")
		for _, s := range []*share{tk.place, other, other} {
			places.use(s, 1) // and all of it lasts
		}
		tk.in[placed] = 1
		go func() {
			synctest.Wait()
			other.release(2)
		}()
		if n, err := tk.room(t.Context()); n != 1 || err != nil {
			t.Errorf("room for %d, %v", n, err)
		}
	})
}
