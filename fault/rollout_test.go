package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// rollout is an app under constant traffic, whose versions and pods are changed.
type rollout struct {
	server   *Server
	programs Programs
	traffic  *Traffic
	app      string
	// dwell is how long every stage is looked at once it is done.
	dwell  time.Duration
	stages []Stage
	stop   func()
}

// drainTime is the app's timeout.
const drainTime = 3 * time.Second

// An app that is called 200 times a second, with WebSockets open all the time, starts from nothing, gets more pods, a new version, one that does not
// come up, the first one again, fewer pods and none. No call fails, and no WebSocket is cut before its pod has drained for the app's timeout.
func TestNoCallFailsWhilePodsComeAndGo(t *testing.T) {
	p := real(t)
	t.Parallel()
	r := newRollout(t, p)
	defer r.verdict(t)
	rounds := 1
	if *long {
		rounds, r.dwell = 10, 5*time.Second
	}
	for range rounds {
		r.coldStart(t)
		r.scaleUp(t)
		r.newVersion(t)
		r.brokenVersion(t)
		r.backToFirst(t)
		r.scaleDown(t)
		r.toNothing(t)
	}
	for _, fault := range r.traffic.Unfinished(t.Context()) {
		t.Error(fault)
	}
}

// verdict prints the figures and fails the test for what is wrong.
func (r *rollout) verdict(t *testing.T) {
	t.Helper()
	table, faults := r.traffic.Judge(r.stages, drainTime)
	t.Log(table)
	const most = 20
	for _, fault := range faults[:min(len(faults), most)] {
		t.Error(fault)
	}
	if more := len(faults) - most; more > 0 {
		t.Errorf("and %d more", more)
	}
}

func newRollout(t *testing.T, p Programs) *rollout {
	t.Helper()
	r := &rollout{server: NewServer(t, p, "--least-scaledown-secs", "1"), programs: p, app: "rollout", dwell: 700 * time.Millisecond}
	r.traffic = &Traffic{Client: r.server.Client, App: r.app, Rate: 200, Sockets: 20}
	archive, err := p.Version("1")
	if err != nil {
		t.Fatal(err)
	}
	err = r.server.create(t.Context(), &ignitev1.CreateAppRequest{
		OrganizationName: organization, Name: r.app, Code: procfile(archive), ResourceTier: ignitev1.ResourceTier_RESOURCE_TIER_XLARGE,
		Scaling: r.fewPods(), Limits: &ignitev1.ResourceLimits{TimeoutSecs: uint32(drainTime.Seconds())},
	})
	if err != nil {
		t.Fatalf("deploy: %v\n%s", err, r.server.Tail())
	}
	return r
}

func (r *rollout) fewPods() *ignitev1.ScalingConfig {
	return &ignitev1.ScalingConfig{ScaleMetric: ignitev1.ScaleMetric_SCALE_METRIC_CONCURRENCY, ScaleThreshold: 1000, ScaledownPeriodSecs: 1}
}

// manyPods are as many as the server allows, which the sockets alone are enough for.
func (r *rollout) manyPods() *ignitev1.ScalingConfig {
	return &ignitev1.ScalingConfig{ScaleMetric: ignitev1.ScaleMetric_SCALE_METRIC_CONCURRENCY, ScaleThreshold: 1, ScaledownPeriodSecs: 60}
}

const mostPods = 5

// stage orders something, waits until it is so, and lets traffic go on for a while.
func (r *rollout) stage(t *testing.T, s Stage, order func(context.Context) error, so func(*ignitev1.GetAppStateResponse) bool) {
	t.Helper()
	s.Began = time.Now()
	if err := order(t.Context()); err != nil {
		t.Fatalf("%s: %v\n%s", s.What, err, r.server.Tail())
	}
	eventually(t, 30*time.Second, s.What, func() error {
		state, err := r.server.state(t.Context(), r.app)
		if err == nil && !so(state) {
			err = fmt.Errorf("the app is %v", state)
		}
		return err
	})
	s.Done = time.Now()
	r.stages = append(r.stages, s)
	lasts(t, r.dwell)
}

// coldStart begins the traffic of an app that has no pod.
func (r *rollout) coldStart(t *testing.T) {
	r.stage(t, Stage{What: "cold start, at once under full load", Version: "1"},
		func(context.Context) error {
			r.start(t)
			return nil
		},
		func(s *ignitev1.GetAppStateResponse) bool {
			return s.GetReadyReplicas() == 1 && s.GetInFlight() >= uint32(r.traffic.Sockets)
		})
}

// start lets traffic run until r.stop, or the end of the test.
func (r *rollout) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.traffic.Run(ctx, t.Context()) })
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(r.stop)
}

func (r *rollout) scaleUp(t *testing.T) {
	r.stage(t, Stage{What: fmt.Sprintf("scale up to %d pods", mostPods), Version: "1"},
		func(ctx context.Context) error { return r.server.scale(ctx, r.app, r.manyPods()) },
		func(s *ignitev1.GetAppStateResponse) bool { return s.GetReadyReplicas() == mostPods })
}

func (r *rollout) newVersion(t *testing.T) {
	r.stage(t, Stage{What: "rollout of version 2", Version: "2", Brings: true, Drains: true},
		func(ctx context.Context) error {
			archive, err := r.programs.Version("2")
			return errors.Join(err, r.server.publish(ctx, r.app, archive))
		},
		func(s *ignitev1.GetAppStateResponse) bool {
			return slices.Equal(s.GetServingVersions(), []uint32{s.GetActiveVersion()})
		})
	r.stage(t, Stage{What: "drain of version 1", Version: "2", Drains: true},
		func(context.Context) error { return nil },
		func(s *ignitev1.GetAppStateResponse) bool { return s.GetDrainingReplicas() == 0 })
}

func (r *rollout) brokenVersion(t *testing.T) {
	r.stage(t, Stage{What: "version 3, which does not come up", Version: "2"},
		func(ctx context.Context) error {
			archive, err := r.programs.Broken()
			return errors.Join(err, r.server.publish(ctx, r.app, archive))
		},
		func(s *ignitev1.GetAppStateResponse) bool {
			return s.GetFailedVersion() == s.GetActiveVersion() && s.GetLastError() != ""
		})
}

func (r *rollout) backToFirst(t *testing.T) {
	r.stage(t, Stage{What: "rollback to version 1", Version: "1", Brings: true, Drains: true},
		func(ctx context.Context) error { return r.server.rollback(ctx, r.app, 1) },
		func(s *ignitev1.GetAppStateResponse) bool { return slices.Equal(s.GetServingVersions(), []uint32{1}) })
}

func (r *rollout) scaleDown(t *testing.T) {
	r.stage(t, Stage{What: "scale down to 1 pod, drained", Version: "1", Drains: true},
		func(ctx context.Context) error { return r.server.scale(ctx, r.app, r.fewPods()) },
		func(s *ignitev1.GetAppStateResponse) bool {
			return s.GetReadyReplicas() == 1 && s.GetDrainingReplicas() == 0
		})
}

// toNothing ends the traffic, and with it the last pod.
func (r *rollout) toNothing(t *testing.T) {
	r.stage(t, Stage{What: "scale to zero without traffic"},
		func(context.Context) error {
			r.stop()
			return nil
		},
		func(s *ignitev1.GetAppStateResponse) bool {
			return s.GetReadyReplicas()+s.GetDrainingReplicas()+s.GetStartingReplicas() == 0
		})
}
