package engine

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

func TestForecastTellsChangesNowAndThenAndTheEndAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []int
		f := forecast{tell: func(waiting int) { told = append(told, waiting) }}
		for waiting := 1000; waiting >= 0; waiting-- {
			f.learn(waiting)
			time.Sleep(time.Millisecond) //nolint:forbidigo // it is free in a bubble
		}
		if want := []int{1000, 750, 500, 250, 0}; !slices.Equal(told, want) {
			t.Errorf("told %v of a queue that is worked off in a second, want %v", told, want)
		}
	})
}

// More is queued than one pod takes: there are as many pods as the app may have, although no call is in any yet.
func TestQueuedWorkCountsAsDemand(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	p := newProcess(t, streamtest.Start(t), nil, Config{})
	p.driver = podtest.NewLoopback(podtest.Serving(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		echo(w, r)
	})))
	p.engine.dispatch.driver = p.driver
	p.publish(t, store.Config{MaxConcurrency: 2, Scaling: store.Scaling{MaxReplicas: 3}})
	var ids []string
	for range 50 {
		ids = append(ids, p.submit(t, nil))
	}
	p.run()
	p.untilCensus(t, func(c pod.Census) bool { return c.Ready == 3 && c.InFlight == 6 && c.Queued == 44 })
	close(release)
	for _, id := range ids {
		expect(t, p.untilEnd(t, id), store.Completed, "")
	}
	p.untilCensus(t, func(c pod.Census) bool { return c.Queued == 0 })
}

// untilCensus waits until the app's pods are as they should be.
func (p *process) untilCensus(t *testing.T, wanted func(pod.Census) bool) {
	t.Helper()
	overdue := time.After(patience)
	for {
		c := p.engine.dispatch.census(t.Context(), testApp)
		if wanted(c) {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-overdue:
			t.Fatalf("the app has %+v", c)
		}
	}
}
