package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/metadata"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const bodyBytes = 256

// measureAccept submits from many callers as fast as answers come, then waits until every accepted execution is finished and
// checks each record.
func measureAccept(ctx context.Context, in *installation, s settings) ([]row, error) {
	if err := in.deploy(ctx, "echo", nil); err != nil {
		return nil, err
	}
	if err := in.warm(ctx, "echo"); err != nil {
		return nil, err
	}
	began := time.Now()
	ids, latencies, err := in.submitFor(ctx, s)
	if err != nil {
		return nil, err
	}
	submitting := time.Since(began)
	last, err := in.awaitAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	accepted := float64(len(ids)) / submitting.Seconds()
	finished := float64(len(ids)) / last.Sub(began).Seconds()
	return []row{
		{fmt.Sprintf("InvokeAsync accepted, synced to disk, %d callers, %d-byte bodies", s.callers, bodyBytes), perSecond(accepted), "≥ 10,000/s"},
		{"  the call's own time", quantiles(latencies), ""},
		{fmt.Sprintf("accepted to finished, all %d executions checked COMPLETED", len(ids)), perSecond(finished), "≥ 4,000/s"},
	}, nil
}

// warm makes one call so that a pod is there.
func (in *installation) warm(ctx context.Context, app string) error {
	request, err := in.direct(ctx, http.MethodPost, app, "/", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("warm %s: %s", app, answer.Status)
	}
	return answer.Body.Close()
}

func (in *installation) submitFor(ctx context.Context, s settings) (ids []string, latencies []time.Duration, err error) {
	token := metadata.Pairs("authorization", "Bearer "+in.token)
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	end := time.Now().Add(s.duration)
	for range s.callers {
		group.Go(func() error {
			var own []string
			var took []time.Duration
			request := &ignitev1.InvokeRequest{OrganizationName: organization, AppName: "echo", Body: make([]byte, bodyBytes)}
			for time.Now().Before(end) {
				began := time.Now()
				answer, err := in.compute.InvokeAsync(metadata.NewOutgoingContext(ctx, token), request)
				if err != nil {
					return err
				}
				took = append(took, time.Since(began))
				own = append(own, answer.GetExecutionId())
			}
			mu.Lock()
			defer mu.Unlock()
			ids, latencies = append(ids, own...), append(latencies, took...)
			return nil
		})
	}
	return ids, latencies, group.Wait()
}

// awaitAll reads every record until it is terminal and answers when the last one finished.
func (in *installation) awaitAll(ctx context.Context, ids []string) (last time.Time, err error) {
	ctx, cancel := context.WithTimeout(in.authorized(ctx), 5*time.Minute)
	defer cancel()
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for chunk := range slices.Chunk(ids, 256) {
		group.Go(func() error {
			for _, id := range chunk {
				finished, err := in.awaitOne(ctx, id)
				if err != nil {
					return err
				}
				mu.Lock()
				if finished.After(last) {
					last = finished
				}
				mu.Unlock()
			}
			return nil
		})
	}
	return last, group.Wait()
}

func (in *installation) awaitOne(ctx context.Context, id string) (finished time.Time, err error) {
	err = poll(ctx, 200*time.Millisecond, func() (bool, error) {
		answer, err := in.compute.GetExecution(ctx, &ignitev1.GetExecutionRequest{ExecutionId: id})
		if err != nil {
			return false, fmt.Errorf("get %s: %w", id, err)
		}
		execution := answer.GetExecution()
		switch execution.GetStatus() {
		case ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING, ignitev1.ExecutionStatus_EXECUTION_STATUS_RUNNING:
			return false, nil
		case ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED:
			finished = time.UnixMilli(execution.GetFinishedAtMs())
			return true, nil
		default:
			return false, fmt.Errorf("%s ended %s: %s", id, execution.GetStatus(), execution.GetError().GetMessage())
		}
	})
	return finished, err
}

// onePod keeps an app at one pod, which then knows of all calls.
func onePod(r *ignitev1.CreateAppRequest) { r.Scaling = &ignitev1.ScalingConfig{MaxReplicas: 1} }

// measureFirstByte submits at a steady rate, each body carrying its time, and asks the pod how late they came.
func measureFirstByte(ctx context.Context, in *installation, s settings) ([]row, error) {
	if err := in.deploy(ctx, "echo", onePod); err != nil {
		return nil, err
	}
	if err := in.warm(ctx, "echo"); err != nil {
		return nil, err
	}
	const rate = 200
	ids, err := in.submitSteadily(ctx, rate, s.duration)
	if err != nil {
		return nil, err
	}
	if _, err := in.awaitAll(ctx, ids); err != nil {
		return nil, err
	}
	delays, err := in.arrivals(ctx, "echo")
	if err != nil {
		return nil, err
	}
	if len(delays) != len(ids) {
		return nil, fmt.Errorf("the pod saw %d of %d calls", len(delays), len(ids))
	}
	return []row{{fmt.Sprintf("submit to the pod's first byte at %d/s, %d executions", rate, len(ids)), quantiles(delays), "p50 < 2 ms"}}, nil
}

func (in *installation) submitSteadily(ctx context.Context, rate int, duration time.Duration) ([]string, error) {
	ctx = in.authorized(ctx)
	var mu sync.Mutex
	var ids []string
	group, ctx := errgroup.WithContext(ctx)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for range int(duration.Seconds() * float64(rate)) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, group.Wait()
		}
		group.Go(func() error {
			body := make([]byte, bodyBytes)
			binary.LittleEndian.PutUint64(body, uint64(time.Now().UnixNano()))
			answer, err := in.compute.InvokeAsync(ctx, &ignitev1.InvokeRequest{
				OrganizationName: organization, AppName: "echo", Http: &ignitev1.HttpContext{Query: "stamped"}, Body: body})
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, answer.GetExecutionId())
			return nil
		})
	}
	err := group.Wait()
	return ids, err
}

func (in *installation) arrivals(ctx context.Context, app string) ([]time.Duration, error) {
	request, err := in.direct(ctx, http.MethodGet, app, "/arrivals", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	var delays []time.Duration
	if err := json.NewDecoder(answer.Body).Decode(&delays); err != nil {
		return nil, err
	}
	return delays, answer.Body.Close()
}
