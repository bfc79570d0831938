package main

import (
	"context"
	"fmt"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const (
	// backlog is how many calls of a second wait of the app beside which the other one is measured.
	backlog = 10_000
	// modestRate is how often a second the other one is called.
	modestRate = 100
	// backlogLead is how long the backlog is worked off before the measurement begins, so that the app has all the pods that it gets.
	backlogLead = 5 * time.Second
)

// measureFairness calls one app at a modest rate, alone and then beside another app that has a deep backlog of calls of a second.
func measureFairness(ctx context.Context, in *installation, s settings) ([]row, error) {
	for name, alter := range map[string]func(*ignitev1.CreateAppRequest){"echo": onePod, "slow": nil} {
		if err := in.deploy(ctx, name, alter); err != nil {
			return nil, err
		}
		if err := in.warm(ctx, name); err != nil {
			return nil, err
		}
	}
	alone, err := in.delays(ctx, s.duration)
	if err != nil {
		return nil, fmt.Errorf("alone: %w", err)
	}
	if err := in.fillSlow(ctx); err != nil {
		return nil, err
	}
	if err := wait(ctx, backlogLead); err != nil {
		return nil, err
	}
	beside, err := in.delays(ctx, s.duration)
	if err != nil {
		return nil, fmt.Errorf("beside a backlog: %w", err)
	}
	state, err := in.compute.GetAppState(in.authorized(ctx), &ignitev1.GetAppStateRequest{OrganizationName: organization, AppName: "slow"})
	if err != nil {
		return nil, err
	}
	if state.GetQueued() == 0 || state.GetInFlight() == 0 {
		return nil, fmt.Errorf("the backlog was over before the measurement: %d queued, %d in flight", state.GetQueued(), state.GetInFlight())
	}
	p99 := quantile(beside, 0.99).Seconds() / quantile(alone, 0.99).Seconds()
	return []row{
		{fmt.Sprintf("submit to the pod's first byte at %d/s, alone", modestRate), quantiles(alone), ""},
		{fmt.Sprintf("the same beside another app's backlog of %d calls of a second, of which %d ran in %d pods", backlog, state.GetInFlight(), state.GetReadyReplicas()),
			fmt.Sprintf("%s; p99 is %.2f of that alone", quantiles(beside), p99), "p99 ≤ 2 of that alone"},
	}, nil
}

// delays are those of calls of the app echo, from submission to arrival.
func (in *installation) delays(ctx context.Context, duration time.Duration) ([]time.Duration, error) {
	ids, err := in.submitSteadily(ctx, modestRate, duration)
	if err != nil {
		return nil, err
	}
	if _, err := in.awaitAll(ctx, ids); err != nil {
		return nil, err
	}
	delays, err := in.arrivals(ctx, "echo")
	if err == nil && len(delays) != len(ids) {
		err = fmt.Errorf("the pod saw %d of %d calls", len(delays), len(ids))
	}
	return delays, err
}

// fillSlow submits the backlog.
func (in *installation) fillSlow(ctx context.Context) error {
	request := &ignitev1.InvokeRequest{Http: &ignitev1.HttpContext{Path: "/second"}}
	batch := &ignitev1.InvokeAsyncBatchRequest{OrganizationName: organization, AppName: "slow"}
	for range batchEntries {
		batch.Requests = append(batch.Requests, request)
	}
	for range backlog / batchEntries {
		answer, err := in.compute.InvokeAsyncBatch(in.authorized(ctx), batch)
		if err != nil {
			return fmt.Errorf("submit the backlog: %w", err)
		}
		for _, result := range answer.GetResults() {
			if result.GetError() != nil {
				return fmt.Errorf("submit the backlog: %s", result.GetError().GetMessage())
			}
		}
	}
	return nil
}
