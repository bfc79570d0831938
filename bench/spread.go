package main

import (
	"context"
	"fmt"
	"strings"
)

// spreadApps is how many apps share a load.
const spreadApps = 200

// spread is one load, given to so many apps.
type spread struct {
	name string
	target
	rounds
}

// measureSpread gives the same load to one app and to many, straight to their programs and through Ignite: many programs cost something by themselves.
func measureSpread(ctx context.Context, in *installation, s settings) ([]row, error) {
	const callers = 32
	through, err := in.spreadApps(ctx)
	if err != nil {
		return nil, err
	}
	straight, stop, err := in.spreadPods(ctx)
	defer stop()
	if err != nil {
		return nil, err
	}
	loads := []spread{
		{name: "straight to one pod", target: target{straight[:1], kibibyte}},
		{name: fmt.Sprintf("straight to %d pods", spreadApps), target: target{straight, kibibyte}},
		{name: "Ignite, one app", target: target{through[:1], kibibyte}},
		{name: fmt.Sprintf("Ignite, %d apps", spreadApps), target: target{through, kibibyte}},
	}
	for range turns {
		for i := range loads {
			one, err := press(ctx, loads[i].target, callers, s.duration/turns)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", loads[i].name, err)
			}
			loads[i].rounds = append(loads[i].rounds, one)
		}
	}
	var rows []row
	for i, l := range loads {
		r := row{what: fmt.Sprintf("1 KiB answers, %d callers: %s", callers, l.name), figure: perSecond(l.rate()) + "; " + l.latency()}
		if i%2 == 1 {
			r.figure += fmt.Sprintf("; %.2f of the rate of one", l.against(loads[i-1].rounds))
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// spreadApps publishes apps with a pod each.
func (in *installation) spreadApps(ctx context.Context) (roads []road, err error) {
	for i := range spreadApps {
		name := fmt.Sprintf("spread-%d", i)
		if err := in.deploy(ctx, name, roomy); err != nil {
			return nil, err
		}
		if err := in.warm(ctx, name); err != nil {
			return nil, err
		}
		l := lane{address: in.http, host: hostOf(name), token: in.token}
		roads = append(roads, l.target(kibibyte).roads...)
	}
	return roads, nil
}

// spreadPods runs as many programs without Ignite, until stop.
func (in *installation) spreadPods(ctx context.Context) (roads []road, stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	for range spreadApps {
		url, stopOne, err := in.startStraight(ctx)
		if err != nil {
			return nil, stop, err
		}
		stops = append(stops, stopOne)
		l := lane{address: strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"), host: hostOf("straight"), token: in.token}
		roads = append(roads, l.target(kibibyte).roads...)
	}
	return roads, stop, nil
}
