package engine

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

// A stop takes the drain time once, however long the gateway drains before the engine does.
func TestDrainTimeBeginsWithStopTaking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{config: Config{DrainTime: 30 * time.Second}, untaken: make(chan struct{})}
		if got := e.drainLeft(); got != 30*time.Second {
			t.Errorf("%v are left before the stop", got)
		}
		e.StopTaking()
		elapse(20 * time.Second)
		e.StopTaking()
		if got := e.drainLeft(); got != 10*time.Second {
			t.Errorf("%v are left after 20 s", got)
		}
		elapse(time.Minute)
		if got := e.drainLeft(); got != 0 {
			t.Errorf("%v are left in the end", got)
		}
	})
}

// While the last calls end, nothing is asked of the queue any more, which would be asked as fast as the processor allows.
func TestStoppedWorkerAsksForNothing(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	called, released := make(chan struct{}, 1), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	p := newProcess(t, server, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		called <- struct{}{}
		<-released
	}), Config{})
	p.publish(t, store.Config{})
	p.run()
	id := p.submit(t, nil)
	receive(t, called, "call")
	p.engine.StopTaking()
	asked, err := server.Conn.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.>")
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		if _, err := asked.NextMsg(200 * time.Millisecond); err != nil {
			break
		}
		if n == 10 { // what was on its way
			t.Fatal("it goes on asking for work")
		}
	}
	release()
	expect(t, p.untilEnd(t, id), store.Completed, "")
}

// Work that is cut off because there are to be fewer pods has not failed.
func TestScaleDownHandsWorkBack(t *testing.T) {
	t.Parallel()
	called, cut := make(chan struct{}, 3), make(chan struct{}, 3)
	released := make(chan struct{})
	p := newProcess(t, streamtest.Start(t), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		select {
		case <-released:
		case <-r.Context().Done():
			cut <- struct{}{}
		}
	}), Config{})
	p.publish(t, store.Config{MaxConcurrency: 1, Scaling: store.Scaling{ReservedCapacity: 2, MaxReplicas: 2}})
	p.run()
	ids := []string{p.submit(t, nil), p.submit(t, nil)}
	for range ids {
		receive(t, called, "call")
	}
	_, err := p.store.UpdateApp(t.Context(), testApp, func(app *store.App) error {
		app.Scaling.MaxReplicas, app.Limits.TimeoutSecs = 1, 1 // which is as long as the drain is
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	attempts := uint32(0)
	receive(t, cut, "call that was cut")
	close(released)
	for _, id := range ids {
		e := p.untilEnd(t, id)
		expect(t, e, store.Completed, "")
		if e.AppFailures != 0 || e.PlatformFailures != 0 {
			t.Errorf("the record counts a failure: %+v", e)
		}
		attempts += e.Attempt
	}
	if attempts != 3 {
		t.Errorf("%d attempts at two executions, want one more", attempts)
	}
}
