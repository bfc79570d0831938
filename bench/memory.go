package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// settle is how long memory is left alone before it is read.
const settle = 5 * time.Second

// measureIdleMemory reads the resident memory of a server that has nothing to do.
func measureIdleMemory(ctx context.Context, in *installation, _ settings) ([]row, error) {
	if err := wait(ctx, settle); err != nil {
		return nil, err
	}
	resident, err := in.residentBytes()
	return []row{{"resident memory of the idle server", mebibytes(resident), "< 60 MiB"}}, err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// measureWatchers opens one watch on each of many executions that wait, and reads how much the server grew.
func measureWatchers(ctx context.Context, in *installation, s settings) ([]row, error) {
	ids, err := in.submitSleepers(ctx, s.watchers)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, settle); err != nil {
		return nil, err
	}
	before, err := in.residentBytes()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	conns, err := in.watchAll(ctx, ids)
	defer func() {
		cancel()
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, settle); err != nil {
		return nil, err
	}
	after, err := in.residentBytes()
	each := float64(after-before) / float64(s.watchers) / 1024
	return []row{{fmt.Sprintf("memory per idle watcher at %d watchers of as many executions", s.watchers), fmt.Sprintf("%.1f KiB", each), "< 20 KiB"}}, err
}

// submitSleepers leaves n executions waiting behind calls that do not end.
func (in *installation) submitSleepers(ctx context.Context, n int) ([]string, error) {
	err := in.deploy(ctx, "sleeper", func(r *ignitev1.CreateAppRequest) {
		r.MaxConcurrency = 1
		r.Scaling = &ignitev1.ScalingConfig{MaxReplicas: 1}
		r.Limits = &ignitev1.ResourceLimits{TimeoutSecs: 3600}
	})
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var ids []string
	group, ctx := errgroup.WithContext(in.authorized(ctx))
	group.SetLimit(64)
	for range n {
		group.Go(func() error {
			answer, err := in.compute.InvokeAsync(ctx, &ignitev1.InvokeRequest{
				OrganizationName: organization, AppName: "sleeper", Http: &ignitev1.HttpContext{Path: "/sleep"}})
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, answer.GetExecutionId())
			return nil
		})
	}
	err = group.Wait()
	return ids, err
}

// watchAll opens a watch on each id, 1,000 to a connection, and returns once each has sent its first frame.
func (in *installation) watchAll(ctx context.Context, ids []string) (conns []*grpc.ClientConn, err error) {
	ctx = in.authorized(ctx)
	var group errgroup.Group
	group.SetLimit(64)
	for i, id := range ids {
		if i%1000 == 0 {
			conn, err := in.dial()
			if err != nil {
				return conns, err
			}
			conns = append(conns, conn)
		}
		compute := ignitev1.NewComputeServiceClient(conns[len(conns)-1])
		group.Go(func() error {
			stream, err := compute.WatchExecution(ctx, &ignitev1.WatchExecutionRequest{ExecutionId: id})
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		})
	}
	return conns, group.Wait()
}
