package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// measureHeld makes calls of an app that takes a while to start, looks what those that wait cost, and how long it takes from the first answer to the last.
func measureHeld(ctx context.Context, in *installation, _ settings) ([]row, error) {
	const held, start = 500, 4 * time.Second
	err := in.deploy(ctx, "late", func(r *ignitev1.CreateAppRequest) {
		roomy(r)
		r.Env = map[string]string{"LISTEN_AFTER": start.String()}
	})
	if err != nil {
		return nil, err
	}
	before, err := in.residentBytes()
	if err != nil {
		return nil, err
	}
	var during int64
	answered, err := in.holdCalls(ctx, held, func() (err error) {
		if err := wait(ctx, start/2); err != nil {
			return err
		}
		during, err = in.residentBytes()
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, settle); err != nil {
		return nil, err
	}
	after, err := in.residentBytes()
	first, last := quantile(answered, 0), quantile(answered, 1)
	return []row{
		{fmt.Sprintf("%d calls held while a pod starts: from the first answer to the last, no error", held), milliseconds(last - first), ""},
		{"  resident memory before, while they are held, and after", fmt.Sprintf("%s, %s, %s", mebibytes(before), mebibytes(during), mebibytes(after)), ""},
		{"  for each that is held", fmt.Sprintf("%.1f KiB", float64(during-before)/held/1024), ""},
	}, err
}

// holdCalls makes n calls side by side, of which none may fail, and answers how long each took. meanwhile runs once all are on their way.
func (in *installation) holdCalls(ctx context.Context, n int, meanwhile func() error) ([]time.Duration, error) {
	wires, err := openWires(in.http, n)
	if err != nil {
		return nil, err
	}
	defer closeWires(wires)
	stop := context.AfterFunc(ctx, func() { closeWires(wires) })
	defer stop()
	request := lane{host: hostOf("late"), token: in.token}.get("/bytes?1024")
	var mu sync.Mutex
	var took []time.Duration
	var group errgroup.Group
	began := time.Now()
	for _, w := range wires {
		group.Go(func() error {
			err := w.exchange(request, kibibyte)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
			return err
		})
	}
	group.Go(meanwhile)
	return took, group.Wait()
}
