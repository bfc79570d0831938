package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const (
	// censusWait is how long the first engine has to say what runs.
	censusWait = time.Second
	// askedAtOnce bounds how many apps of a list the engines are asked about at a time.
	askedAtOnce = 32
)

func (s *service) GetAppState(ctx context.Context, r *ignitev1.GetAppStateRequest) (*ignitev1.GetAppStateResponse, error) {
	app, err := s.app(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.state(ctx, app)
}

// state asks every engine for its pods of the app.
func (s *service) state(ctx context.Context, app store.App) (*ignitev1.GetAppStateResponse, error) {
	question, err := json.Marshal(pod.CensusRequest{Org: app.Org, App: app.Name})
	if err != nil {
		return nil, fmt.Errorf("ask for the pods of %s: %w", app, err)
	}
	answers, err := s.cfg.Stream.Ask(ctx, pod.CensusTopic, question, censusWait)
	if err != nil {
		return nil, fmt.Errorf("ask for the pods of %s: %w", app, err)
	}
	state := &ignitev1.GetAppStateResponse{ActiveVersion: app.ActiveVersion}
	state.EffectiveScaling, state.Notes = s.cfg.scalingBounds().effective(app.Scaling)
	for _, answer := range answers {
		var census pod.Census
		if err := json.Unmarshal(answer, &census); err != nil {
			return nil, fmt.Errorf("read the pods of %s: %w", app, err)
		}
		addCensus(state, census)
	}
	slices.Sort(state.ServingVersions)
	state.ServingVersions = slices.Compact(state.ServingVersions)
	state.DeploymentState = deploymentState(app, state)
	return state, nil
}

func addCensus(state *ignitev1.GetAppStateResponse, c pod.Census) {
	state.ReadyReplicas += natural(c.Ready)
	state.StartingReplicas += natural(c.Starting)
	state.DesiredReplicas += natural(c.Desired)
	state.DrainingReplicas += natural(c.Draining)
	state.FrozenReplicas += natural(c.Frozen)
	state.FrozenBytes += max(0, c.FrozenBytes)
	state.InFlight += natural(c.InFlight)
	state.Waiting += natural(c.Waiting)
	// Every worker sees the same queue.
	state.Queued = max(state.GetQueued(), natural(c.Queued))
	state.ServingVersions = append(state.ServingVersions, c.Serving...)
	if c.LastError != "" {
		state.LastError = c.LastError
	}
	if c.Failed != 0 {
		state.FailedVersion = c.Failed
	}
}

// natural is a count that came from outside.
func natural(n int) uint32 { return uint32(max(0, min(n, math.MaxInt32))) }

func deploymentState(app store.App, state *ignitev1.GetAppStateResponse) ignitev1.DeploymentState {
	switch {
	case app.ActiveVersion == 0:
		return ignitev1.DeploymentState_DEPLOYMENT_STATE_CREATED
	case state.GetReadyReplicas() > 0:
		return ignitev1.DeploymentState_DEPLOYMENT_STATE_RUNNING
	case state.GetStartingReplicas() > 0:
		return ignitev1.DeploymentState_DEPLOYMENT_STATE_STARTING
	case state.GetLastError() != "":
		return ignitev1.DeploymentState_DEPLOYMENT_STATE_FAILED
	default:
		return ignitev1.DeploymentState_DEPLOYMENT_STATE_IDLE
	}
}

// metaOf is an app as it is now, with what runs of it. That it cannot be known does not undo what the answer is about: then
// the state is left open.
func (s *service) metaOf(ctx context.Context, app store.App) (*ignitev1.AppMeta, error) {
	if app.ActiveVersion == 0 {
		return s.publicMeta(app, nil), nil
	}
	active, err := s.cfg.Store.Version(ctx, app.AppRef, app.ActiveVersion)
	if err != nil {
		return nil, fmt.Errorf("version %d of %s: %w", app.ActiveVersion, app, err)
	}
	m := s.publicMeta(app, &active)
	state, err := s.state(ctx, app)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "no engine could be asked", slog.String("app", app.String()), slog.String("error", err.Error()))
		return m, nil
	}
	m.DeploymentState = state.GetDeploymentState()
	return m, nil
}

// metasOf is metaOf for a list.
func (s *service) metasOf(ctx context.Context, apps []store.App) ([]*ignitev1.AppMeta, error) {
	metas := make([]*ignitev1.AppMeta, len(apps))
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(askedAtOnce)
	for i, app := range apps {
		asking.Go(func() (err error) {
			metas[i], err = s.metaOf(ctx, app)
			return err
		})
	}
	return metas, asking.Wait()
}
