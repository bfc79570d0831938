package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// page is how many executions a list asks for.
const page = 50

// measureList fills the executions bucket of a server that does nothing else, of 1,000 apps and with one record in a thousand failed, and lists
// the newest of them by each filter.
func measureList(ctx context.Context, s settings) ([]row, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	in, err := install(ctx, s.ignited, "--roles", "gateway", "--nats-listen-addr", address)
	if err != nil {
		return nil, err
	}
	defer in.remove()
	if err := fillRecords(ctx, address, s.records); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := in.compute.ListExecutions(in.authorized(ctx), &ignitev1.ListExecutionsRequest{Limit: page}); err != nil {
		return nil, err
	}
	rows := []row{{fmt.Sprintf("first list after a start, among %d records", s.records), milliseconds(time.Since(began)), ""}}
	for _, list := range []struct {
		what    string
		request *ignitev1.ListExecutionsRequest
	}{
		{"newest 50 of all", &ignitev1.ListExecutionsRequest{}},
		{"newest 50 of one app among 1,000", &ignitev1.ListExecutionsRequest{AppName: "app-7"}},
		{"newest 50 that failed, one in 1,000", &ignitev1.ListExecutionsRequest{Statuses: []ignitev1.ExecutionStatus{ignitev1.ExecutionStatus_EXECUTION_STATUS_FAILED}}},
	} {
		list.request.OrganizationName, list.request.Limit = organization, page
		took, err := in.timeLists(ctx, list.request)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{"  " + list.what, quantiles(took), "p50 < 10 ms"})
	}
	return rows, nil
}

func (in *installation) timeLists(ctx context.Context, request *ignitev1.ListExecutionsRequest) ([]time.Duration, error) {
	const times = 200
	var took []time.Duration
	for range times {
		began := time.Now()
		answer, err := in.compute.ListExecutions(in.authorized(ctx), request)
		if err != nil {
			return nil, err
		}
		if len(answer.GetExecutions()) != page {
			return nil, fmt.Errorf("listed %d executions, not %d", len(answer.GetExecutions()), page)
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// fillRecords writes records as the server's own store would, through the server's NATS.
func fillRecords(ctx context.Context, address string, records int) error {
	conn, err := nats.Connect("nats://" + address)
	if err != nil {
		return err
	}
	defer conn.Close()
	bucket, err := store.Open(ctx, store.Options{Conn: conn})
	if err != nil {
		return err
	}
	defer func() { _ = bucket.Close() }()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(crowd)
	for n := range records {
		group.Go(func() error { return fillRecord(ctx, bucket, n) })
	}
	return group.Wait()
}

func fillRecord(ctx context.Context, bucket *store.Store, n int) error {
	record, err := bucket.CreateExecution(ctx, store.Execution{
		ID: store.NewExecutionID(), Org: organization, Version: 1, CreatedAt: time.Now(),
		App: store.AppRef{Org: organization, Name: fmt.Sprintf("app-%d", n%1000)},
	})
	if err != nil || n%1000 != 7 {
		return err
	}
	record.Status, record.FinishedAt = store.Failed, time.Now()
	record.Error = &store.ExecutionError{Code: "APP_ERROR", Message: "for the list"}
	_, err = bucket.UpdateExecution(ctx, record)
	return err
}
