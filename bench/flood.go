package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/store"
)

const (
	// floodApps have floodEach calls each that wait, and each call takes longCall.
	floodApps, floodEach = 50, 1_000
	longCall             = time.Second
	// floodSlots is how many calls of each of them run at a time: all of them together leave the processor something to do for others, or there would be
	// nothing to see but that it is short.
	floodSlots = 20
	// quietRate is how many calls a second the app gets that shares nothing with them.
	quietRate = 50
)

// measureFlood calls an app at a modest rate, alone and then beside many apps of another organization that have deep backlogs. The pods are in this
// process, so what the calls of the flood cost in them counts too.
func measureFlood(ctx context.Context, s settings) ([]row, error) {
	inside, err := openStack(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = inside.close() }()
	inside.driver = podtest.NewLoopback(podtest.Serving(http.HandlerFunc(answerInTime)))
	quiet, err := inside.publishAs(ctx, store.AppRef{Org: "quiet", Name: "app"}, store.Config{})
	if err != nil {
		return nil, err
	}
	stop, err := inside.work()
	if err != nil {
		return nil, err
	}
	defer func() { _ = stop() }()
	if _, err := inside.callSteadily(ctx, quiet, time.Second); err != nil { // starts the pod
		return nil, err
	}
	alone, err := inside.callSteadily(ctx, quiet, s.duration)
	if err != nil {
		return nil, err
	}
	if err := inside.flood(ctx); err != nil {
		return nil, err
	}
	beside, err := inside.callSteadily(ctx, quiet, s.duration)
	if err != nil {
		return nil, err
	}
	if left, err := inside.waiting(ctx); err != nil || left < floodApps*floodEach/10 {
		return nil, fmt.Errorf("the flood was over before the end, %d calls are left (%w)", left, err)
	}
	p99 := quantile(beside, 0.99).Seconds() / quantile(alone, 0.99).Seconds()
	return []row{
		{fmt.Sprintf("submit to outcome at %d/s, alone, in one process with its pod", quietRate), quantiles(alone), ""},
		{fmt.Sprintf("the same beside %d apps of another organization with %d calls of %v each, of which %d run at a time",
			floodApps, floodEach, longCall, floodApps*floodSlots),
			fmt.Sprintf("%s; p99 is %.2f of that alone", quantiles(beside), p99), "p99 ≤ 2 of that alone"},
	}, nil
}

// answerInTime answers after the time that the body says.
func answerInTime(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if takes := time.Duration(binary.LittleEndian.Uint64(body)); wait(r.Context(), takes) == nil {
		_, _ = w.Write(body)
	}
}

// taking is the body of a call that takes so long.
func taking(d time.Duration) []byte {
	body := make([]byte, bodyBytes)
	binary.LittleEndian.PutUint64(body, uint64(d))
	return body
}

// flood submits long calls to many apps of one organization.
func (s *stack) flood(ctx context.Context) error {
	slots := store.Config{MaxConcurrency: floodSlots, Scaling: store.Scaling{MaxReplicas: 1}}
	var apps [floodApps]store.App
	for n := range apps {
		var err error
		if apps[n], err = s.publishAs(ctx, store.AppRef{Org: "flood", Name: fmt.Sprintf("app-%d", n)}, slots); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(crowd)
	for n := range floodApps * floodEach {
		group.Go(func() error {
			_, err := s.submit(ctx, apps[n%floodApps], taking(longCall))
			return err
		})
	}
	return group.Wait()
}

// callSteadily submits short calls to an app for a while, and answers how long it took until their outcomes.
func (s *stack) callSteadily(ctx context.Context, app store.App, duration time.Duration) ([]time.Duration, error) {
	var mu sync.Mutex
	began := make(map[string]time.Time)
	group, calling := errgroup.WithContext(ctx)
	tick := time.NewTicker(time.Second / quietRate)
	defer tick.Stop()
	for range int(duration.Seconds() * quietRate) {
		select {
		case <-tick.C:
		case <-calling.Done():
			return nil, group.Wait()
		}
		group.Go(func() error {
			at := time.Now()
			id, err := s.submit(calling, app, taking(0))
			mu.Lock()
			defer mu.Unlock()
			began[id] = at
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var latencies []time.Duration
	for id, at := range began {
		ended, err := s.outcome(ctx, id)
		if err != nil {
			return nil, err
		}
		latencies = append(latencies, ended.Sub(at))
	}
	return latencies, nil
}

// outcome waits for the end of an execution and answers when that was.
func (s *stack) outcome(ctx context.Context, id string) (ended time.Time, err error) {
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		record, err := s.store.Execution(ctx, organization, id)
		if err == nil && record.Status.Terminal() && record.Status != store.Completed {
			err = fmt.Errorf("%s ended %s: %+v", id, record.Status, record.Error)
		}
		ended = record.FinishedAt
		return record.Status.Terminal(), err
	})
	return ended, err
}
