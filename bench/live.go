package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// liveWatchers is how many executions stream, each to one watcher.
const liveWatchers = 1000

// measureGet reads records of executions that just ended while others are submitted and run.
func measureGet(ctx context.Context, in *installation, s settings) ([]row, error) {
	if err := in.deploy(ctx, "echo", nil); err != nil {
		return nil, err
	}
	if err := in.warm(ctx, "echo"); err != nil {
		return nil, err
	}
	const rate, reads = 1000, 200
	known, err := in.submitSteadily(ctx, rate, time.Second)
	if err != nil {
		return nil, err
	}
	var gets []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := in.submitSteadily(ctx, rate, s.duration)
		return err
	})
	group.Go(func() (err error) {
		gets, err = in.getSteadily(ctx, known, reads, s.duration)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return []row{{fmt.Sprintf("GetExecution at %d/s while %d executions a second are submitted and run", reads, rate), quantiles(gets), "p99 < 5 ms"}}, nil
}

// getSteadily reads one known record after the other at a steady rate, however long the answers take.
func (in *installation) getSteadily(ctx context.Context, known []string, rate int, duration time.Duration) ([]time.Duration, error) {
	var mu sync.Mutex
	var took []time.Duration
	group, ctx := errgroup.WithContext(in.authorized(ctx))
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := range int(duration.Seconds() * float64(rate)) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, group.Wait()
		}
		group.Go(func() error {
			began := time.Now()
			_, err := in.compute.GetExecution(ctx, &ignitev1.GetExecutionRequest{ExecutionId: known[n%len(known)]})
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
			return err
		})
	}
	err := group.Wait()
	return took, err
}

// measureResume has a pod stream many chunks, and then watches from the first, and from near the end.
func measureResume(ctx context.Context, in *installation, s settings) ([]row, error) {
	if err := in.deploy(ctx, "echo", nil); err != nil {
		return nil, err
	}
	ctx = in.authorized(ctx)
	answer, err := in.compute.InvokeAsync(ctx, &ignitev1.InvokeRequest{
		OrganizationName: organization, AppName: "echo", Http: &ignitev1.HttpContext{Path: "/chunks", Query: strconv.Itoa(s.chunks)}})
	if err != nil {
		return nil, err
	}
	if _, err := in.awaitAll(ctx, []string{answer.GetExecutionId()}); err != nil {
		return nil, err
	}
	known, err := in.compute.GetExecution(ctx, &ignitev1.GetExecutionRequest{ExecutionId: answer.GetExecutionId()})
	if err != nil {
		return nil, err
	}
	chunks := int(known.GetExecution().GetOutputChunks()) // some of what the pod sent was read together
	whole, err := in.timeResume(ctx, answer.GetExecutionId(), 0, chunks)
	if err != nil {
		return nil, err
	}
	const rest = 10
	end, err := in.timeResume(ctx, answer.GetExecutionId(), chunks-rest, rest)
	if err != nil {
		return nil, err
	}
	return []row{
		{fmt.Sprintf("watch of a finished output of %d chunks, from the first to the terminal record", chunks), quantiles(whole), ""},
		{fmt.Sprintf("  resumed at chunk %d", chunks-rest), quantiles(end), ""},
	}, nil
}

func (in *installation) timeResume(ctx context.Context, id string, from, want int) ([]time.Duration, error) {
	const times = 10
	var took []time.Duration
	for range times {
		began := time.Now()
		watch, err := in.compute.WatchExecution(ctx, &ignitev1.WatchExecutionRequest{ExecutionId: id, FromChunk: int64(from)})
		if err != nil {
			return nil, err
		}
		chunks, err := countChunks(watch, int64(from))
		if err != nil {
			return nil, err
		}
		if chunks != want {
			return nil, fmt.Errorf("%d chunks came, not %d", chunks, want)
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// countChunks reads a watch to its end, and fails if a chunk is missing or out of order.
func countChunks(watch grpc.ServerStreamingClient[ignitev1.WatchExecutionResponse], next int64) (chunks int, err error) {
	for {
		frame, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			return chunks, nil
		}
		if err != nil {
			return chunks, err
		}
		if frame.GetOutputChunk() == nil {
			continue
		}
		if frame.GetChunkIndex() != next {
			return chunks, fmt.Errorf("chunk %d came in place of %d", frame.GetChunkIndex(), next)
		}
		chunks++
		next++
	}
}

// measureLag watches many executions whose pods send their clock once a second.
func measureLag(ctx context.Context, in *installation, s settings) ([]row, error) {
	err := in.deploy(ctx, "clock", func(r *ignitev1.CreateAppRequest) { r.MaxConcurrency = liveWatchers })
	if err != nil {
		return nil, err
	}
	ticks := int(s.duration.Seconds())
	var mu sync.Mutex
	var lags []time.Duration
	group, ctx := errgroup.WithContext(in.authorized(ctx))
	for range liveWatchers {
		group.Go(func() error {
			own, err := in.watchClock(ctx, ticks)
			mu.Lock()
			defer mu.Unlock()
			lags = append(lags, own...)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if len(lags) != liveWatchers*ticks {
		return nil, fmt.Errorf("%d chunks came, not %d", len(lags), liveWatchers*ticks)
	}
	return []row{{fmt.Sprintf("from a pod's write to its watcher, %d live watchers, a chunk a second each", liveWatchers), quantiles(lags), "p99 < 20 ms"}}, nil
}

func (in *installation) watchClock(ctx context.Context, ticks int) (lags []time.Duration, err error) {
	answer, err := in.compute.InvokeAsync(ctx, &ignitev1.InvokeRequest{
		OrganizationName: organization, AppName: "clock", Http: &ignitev1.HttpContext{Path: "/clock", Query: strconv.Itoa(ticks)}})
	if err != nil {
		return nil, err
	}
	watch, err := in.compute.WatchExecution(ctx, &ignitev1.WatchExecutionRequest{ExecutionId: answer.GetExecutionId()})
	if err != nil {
		return nil, err
	}
	for {
		frame, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			return lags, nil
		}
		if err != nil {
			return nil, err
		}
		for chunk := frame.GetOutputChunk(); len(chunk) >= 8; chunk = chunk[8:] {
			lags = append(lags, time.Since(time.Unix(0, int64(binary.LittleEndian.Uint64(chunk)))))
		}
	}
}
