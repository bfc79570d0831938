package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// idleApps are published and never called.
	idleApps = 10_000
	// idleFor is how long the processor time of a server is watched that has only them.
	idleFor = 20 * time.Second
)

// measureIdleApps publishes many apps that nobody calls, and reads what the server takes because of them.
func measureIdleApps(ctx context.Context, in *installation, _ settings) ([]row, error) {
	archive, err := pack(map[string][]byte{"Procfile": []byte("web: ./serve\n"), "serve": []byte("#!/bin/sh\n")})
	if err != nil {
		return nil, err
	}
	in.archive = archive
	began := time.Now()
	group, publishing := errgroup.WithContext(ctx)
	group.SetLimit(32)
	for i := range idleApps {
		group.Go(func() error { return in.deploy(publishing, fmt.Sprintf("idle-%d", i), nil) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	published := time.Since(began)
	if err := wait(ctx, settle); err != nil {
		return nil, err
	}
	server := strconv.Itoa(in.server.Process.Pid)
	before, err := processorTime(server)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, idleFor); err != nil {
		return nil, err
	}
	after, err := processorTime(server)
	if err != nil {
		return nil, err
	}
	resident, err := in.residentBytes()
	share := 100 * (after - before).Seconds() / idleFor.Seconds()
	return []row{
		{fmt.Sprintf("%d published apps that are idle: processor", idleApps), fmt.Sprintf("%.2f %% of a core; published in %.0f s", share, published.Seconds()), "< 2 %"},
		{fmt.Sprintf("%d published apps that are idle: resident memory", idleApps), mebibytes(resident), "< 1 GiB"},
	}, err
}
