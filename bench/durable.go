package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const (
	// crowd is how many callers the durable submit is measured with.
	crowd = 256
	// batchEntries is how many envelopes a batch has, crowdOfBatches how many submit batches side by side.
	batchEntries, crowdOfBatches = 100, 8
)

// measureDurable submits with nobody working: first inside one process, to see what record, work and group commit cost, then over gRPC
// to a server that is a gateway only.
func measureDurable(ctx context.Context, s settings) ([]row, error) {
	inside, err := measureDurableInside(ctx, s)
	if err != nil {
		return nil, err
	}
	outside, err := measureDurableOutside(ctx, s)
	return append(inside, outside...), err
}

func measureDurableInside(ctx context.Context, s settings) ([]row, error) {
	inside, err := openStack(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = inside.close() }()
	app, err := inside.publish(ctx, 0)
	if err != nil {
		return nil, err
	}
	body := make([]byte, bodyBytes)
	submit := func(ctx context.Context) (int, error) {
		_, err := inside.submit(ctx, app, body)
		return 1, err
	}
	alone, err := repeat(ctx, 1, s.duration, submit)
	if err != nil {
		return nil, err
	}
	many, err := repeat(ctx, crowd, s.duration, submit)
	if err != nil {
		return nil, err
	}
	return []row{
		{"record, work and group commit in one process, one caller", alone.text(), "p50 ≤ 2 ms"},
		{fmt.Sprintf("record, work and group commit in one process, %d callers", crowd), many.text(), "≥ 15,000/s"},
	}, nil
}

func measureDurableOutside(ctx context.Context, s settings) ([]row, error) {
	in, err := install(ctx, s.ignited, "--roles", "gateway")
	if err != nil {
		return nil, err
	}
	defer in.remove()
	if err := in.deploy(ctx, "echo", nil); err != nil {
		return nil, err
	}
	request := &ignitev1.InvokeRequest{OrganizationName: organization, AppName: "echo", Body: make([]byte, bodyBytes)}
	alone, err := repeat(ctx, 1, s.duration, in.submitOne(request))
	if err != nil {
		return nil, err
	}
	many, err := repeat(ctx, crowd, s.duration, in.submitOne(request))
	if err != nil {
		return nil, err
	}
	batches, err := repeat(ctx, crowdOfBatches, s.duration, in.submitBatch(request))
	if err != nil {
		return nil, err
	}
	return []row{
		{"InvokeAsync over gRPC, nobody working, one caller", alone.text(), "p50 ≤ 2 ms"},
		{fmt.Sprintf("InvokeAsync over gRPC, nobody working, %d callers", crowd), many.text(), "≥ 15,000/s"},
		{fmt.Sprintf("InvokeAsyncBatch of %d over gRPC, nobody working, %d callers", batchEntries, crowdOfBatches), batches.text(), ""},
	}, nil
}

func (in *installation) submitOne(request *ignitev1.InvokeRequest) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		_, err := in.compute.InvokeAsync(in.authorized(ctx), request)
		return 1, err
	}
}

func (in *installation) submitBatch(request *ignitev1.InvokeRequest) func(context.Context) (int, error) {
	batch := &ignitev1.InvokeAsyncBatchRequest{OrganizationName: request.GetOrganizationName(), AppName: request.GetAppName()}
	for range batchEntries {
		batch.Requests = append(batch.Requests, &ignitev1.InvokeRequest{Body: request.GetBody()})
	}
	return func(ctx context.Context) (int, error) {
		answer, err := in.compute.InvokeAsyncBatch(in.authorized(ctx), batch)
		if err != nil {
			return 0, err
		}
		for _, result := range answer.GetResults() {
			if result.GetError() != nil {
				return 0, fmt.Errorf("an entry was refused: %s", result.GetError().GetMessage())
			}
		}
		return len(answer.GetResults()), nil
	}
}

// load is what came of repeating a call.
type load struct {
	done int
	took time.Duration
	// latencies of each call.
	latencies []time.Duration
}

func (l load) text() string {
	return perSecond(float64(l.done)/l.took.Seconds()) + "; " + quantiles(l.latencies)
}

// repeat makes call again and again from so many callers; call answers how many things it did.
func repeat(ctx context.Context, callers int, duration time.Duration, call func(context.Context) (int, error)) (load, error) {
	var mu sync.Mutex
	var total load
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	end := began.Add(duration)
	for range callers {
		group.Go(func() error {
			var own load
			for time.Now().Before(end) {
				before := time.Now()
				n, err := call(ctx)
				if err != nil {
					return err
				}
				own.latencies = append(own.latencies, time.Since(before))
				own.done += n
			}
			mu.Lock()
			defer mu.Unlock()
			total.done += own.done
			total.latencies = append(total.latencies, own.latencies...)
			return nil
		})
	}
	err := group.Wait()
	total.took = time.Since(began)
	return total, err
}

// measureManyApps gives the same amount of work to 1, 100 and 2,000 apps, all of which have a pod in this process, and compares how fast it is finished.
func measureManyApps(ctx context.Context, s settings) ([]row, error) {
	var rows []row
	var slowest, fastest float64
	for _, apps := range []int{1, 100, 2000} {
		rate, err := finishAcross(ctx, apps, s.executions)
		if err != nil {
			return nil, err
		}
		if fastest = max(fastest, rate); slowest == 0 || rate < slowest {
			slowest = rate
		}
		rows = append(rows, row{fmt.Sprintf("%d executions of %d apps that have work at once, to the last acknowledgement", s.executions, apps), perSecond(rate), ""})
	}
	return append(rows, row{"  fastest by slowest", fmt.Sprintf("%.2f", fastest/slowest), "≤ 2"}), nil
}

func finishAcross(ctx context.Context, apps, executions int) (rate float64, err error) {
	inside, err := openStack(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = inside.close() }()
	if err := inside.fill(ctx, apps, executions); err != nil {
		return 0, err
	}
	began := time.Now()
	stop, err := inside.work()
	if err != nil {
		return 0, err
	}
	defer func() { _ = stop() }()
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		if inside.answered.Load() < int64(executions) {
			return false, nil
		}
		waiting, err := inside.waiting(ctx)
		return waiting == 0, err
	})
	return float64(executions) / time.Since(began).Seconds(), err
}

// fill submits in turn to each app.
func (s *stack) fill(ctx context.Context, apps, executions int) error {
	published := make([]store.App, apps)
	for n := range apps {
		var err error
		if published[n], err = s.publish(ctx, n); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(crowd)
	body := make([]byte, bodyBytes)
	for n := range executions {
		group.Go(func() error {
			_, err := s.submit(ctx, published[n%apps], body)
			return err
		})
	}
	return group.Wait()
}
