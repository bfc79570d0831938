package main

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// The specification's page "Scaling configuration", sentence by sentence. The formula itself is tested by table in package engine; here it is seen
// that the server goes by it.
func TestSpecificationOfScaling(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	for sentence, holds := range map[string]func(*testing.T, *server){
		"An app scales horizontally on demand":                                                           scalesOnDemand,
		"The knobs live on ScalingConfig, set at CreateApp or UpdateAppConfig":                           scalingIsSet,
		"reserved_capacity: minimum warm pods (0 = scale to zero allowed), default 0":                    reservedByDefault,
		"max_replicas: maximum pods, default 10 (capped by a platform max, typically 5)":                 replicasByDefault,
		"scale_metric: REQUEST_RATE or CONCURRENCY, default REQUEST_RATE":                                metricByDefault,
		"scale_threshold: the per-pod target for the chosen metric, 0 = platform default (10)":           thresholdByDefault,
		"scaledown_period_secs: stay scaled-up this long after traffic drops, default 300 (KEDA min 30)": scaledownByDefault,
		"desired_replicas is the observed load by scale_threshold, rounded up":                           desiredByConcurrency,
		"clamped to [reserved_capacity, max_replicas]":                                                   desiredIsClamped,
		"With REQUEST_RATE, observed is average requests/second (1-minute window)":                       desiredByRate,
		"Activation from zero is binary: any inbound request triggers it":                                anyRequestActivates,
		"The effective max_replicas is min(your value, platform cap)":                                    effectiveReplicas,
		"raise the platform cap with ops if you need more":                                               platformCap,
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			holds(t, s)
		})
	}
}

// byConcurrency is a pod for so many calls.
func byConcurrency(threshold int, more string) string {
	return fmt.Sprintf(`"scaling":{"scaleMetric":"SCALE_METRIC_CONCURRENCY","scaleThreshold":%d%s}`, threshold, more)
}

func scalesOnDemand(t *testing.T, s *server) {
	s.deploy(t, "demand", procfileCode(probeArchive(t)), byConcurrency(1, ""))
	one := s.hold(t, "demand")
	s.awaitPods(t, "demand", 1)
	two := s.hold(t, "demand")
	s.awaitPods(t, "demand", 2)
	three := s.hold(t, "demand") // the pod that was added takes the next call
	s.awaitPods(t, "demand", 3)
	if first, next := one(), three(); first == next {
		t.Errorf("all calls came to the first pod, %s", first)
	}
	two()
}

func scalingIsSet(t *testing.T, s *server) {
	s.deploy(t, "knobs", procfileCode(probeArchive(t)), `"scaling":{"maxReplicas":2,"scaledownPeriodSecs":40}`)
	if scaling := s.effectiveScaling(t, "knobs"); count(scaling, "maxReplicas") != 2 || count(scaling, "scaledownPeriodSecs") != 40 {
		t.Errorf("as CreateApp set it: %v", scaling)
	}
	release := s.holdAll(t, "knobs", 3)
	s.awaitPods(t, "knobs", 1)
	s.configure(t, "knobs", byConcurrency(1, ""))
	s.awaitPods(t, "knobs", 3) // of the pod that runs and the calls that are in it
	release()
}

func reservedByDefault(t *testing.T, s *server) {
	s.deploy(t, "none-reserved", procfileCode(probeArchive(t)), "")
	if scaling := s.effectiveScaling(t, "none-reserved"); count(scaling, "reservedCapacity") != 0 {
		t.Errorf("%v", scaling)
	}
	s.configure(t, "none-reserved", `"scaling":{"reservedCapacity":2}`)
	s.awaitPods(t, "none-reserved", 2)
}

func replicasByDefault(t *testing.T, s *server) {
	s.deploy(t, "most", procfileCode(probeArchive(t)), byConcurrency(1, ""))
	if scaling := s.effectiveScaling(t, "most"); count(scaling, "maxReplicas") != 5 {
		t.Errorf("of the default 10 within the cap of 5: %v", scaling)
	}
}

func metricByDefault(t *testing.T, s *server) {
	s.deploy(t, "metric", procfileCode(probeArchive(t)), "")
	if metric := s.effectiveScaling(t, "metric")["scaleMetric"]; metric != "SCALE_METRIC_REQUEST_RATE" {
		t.Errorf("by default: %v", metric)
	}
	s.configure(t, "metric", byConcurrency(0, ""))
	if metric := s.effectiveScaling(t, "metric")["scaleMetric"]; metric != "SCALE_METRIC_CONCURRENCY" {
		t.Errorf("as set: %v", metric)
	}
}

func thresholdByDefault(t *testing.T, s *server) {
	s.deploy(t, "threshold", procfileCode(probeArchive(t)), byConcurrency(0, ""))
	if scaling := s.effectiveScaling(t, "threshold"); count(scaling, "scaleThreshold") != 10 {
		t.Errorf("by default: %v", scaling)
	}
	release := s.holdAll(t, "threshold", 11)
	s.awaitPods(t, "threshold", 2)
	release()
}

func scaledownByDefault(t *testing.T, s *server) {
	s.deploy(t, "scaledown", procfileCode(probeArchive(t)), "")
	if scaling := s.effectiveScaling(t, "scaledown"); count(scaling, "scaledownPeriodSecs") != 300 {
		t.Errorf("by default: %v", scaling)
	}
	notes, _ := s.configure(t, "scaledown", `"scaling":{"scaledownPeriodSecs":5}`)["notes"].([]any)
	if scaling := s.effectiveScaling(t, "scaledown"); count(scaling, "scaledownPeriodSecs") != 30 || len(notes) != 1 {
		t.Errorf("5 seconds: %v, which is told in %q", scaling, notes)
	}
}

func desiredByConcurrency(t *testing.T, s *server) {
	s.deploy(t, "ceil", procfileCode(probeArchive(t)), byConcurrency(2, ""))
	release := s.holdAll(t, "ceil", 5)
	s.awaitPods(t, "ceil", 3)
	release()
}

func desiredIsClamped(t *testing.T, s *server) {
	s.deploy(t, "clamp", procfileCode(probeArchive(t)), byConcurrency(1, `,"reservedCapacity":2,"maxReplicas":3`))
	s.awaitPods(t, "clamp", 2)
	release := s.holdAll(t, "clamp", 8)
	s.awaitHeld(t, "clamp", 8)
	s.awaitPods(t, "clamp", 3)
	release()
}

// Of 150 calls within a minute there are two and a half a second.
func desiredByRate(t *testing.T, s *server) {
	s.deploy(t, "rate", procfileCode(probeArchive(t)), `"scaling":{"scaleMetric":"SCALE_METRIC_REQUEST_RATE","scaleThreshold":1}`)
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			for range 15 {
				answer, err := http.DefaultClient.Do(s.direct(t, http.MethodGet, "rate", "/instance", nil))
				if err != nil {
					t.Error(err)
					return
				}
				if readAll(t, answer); answer.StatusCode != http.StatusOK {
					t.Errorf("%s", answer.Status)
				}
				_ = answer.Body.Close()
			}
		})
	}
	calls.Wait()
	s.awaitPods(t, "rate", 3)
}

func anyRequestActivates(t *testing.T, s *server) {
	for _, surface := range []string{"direct", "invoke", "async"} {
		app := "binary-" + surface
		s.deploy(t, app, procfileCode(probeArchive(t)), `"scaling":{"scaleThreshold":1000000}`)
		switch surface {
		case "direct":
			s.sendDirect(t, app)
		case "invoke":
			readAll(t, s.invoke(t, app, `{}`))
		case "async":
			s.await(t, s.submit(t, app, `{}`))
		}
		s.awaitPods(t, app, 1)
	}
}

func effectiveReplicas(t *testing.T, s *server) {
	s.deploy(t, "effective", procfileCode(probeArchive(t)), `"scaling":{"maxReplicas":3}`)
	if scaling := s.effectiveScaling(t, "effective"); count(scaling, "maxReplicas") != 3 {
		t.Errorf("3 within the cap of 5: %v", scaling)
	}
	notes, _ := s.configure(t, "effective", byConcurrency(1, `,"maxReplicas":50`))["notes"].([]any)
	if scaling := s.effectiveScaling(t, "effective"); count(scaling, "maxReplicas") != 5 || len(notes) != 1 {
		t.Errorf("50 above the cap of 5: %v, which is told in %q", scaling, notes)
	}
	release := s.holdAll(t, "effective", 12)
	s.awaitHeld(t, "effective", 12)
	s.awaitPods(t, "effective", 5)
	release()
}

func platformCap(t *testing.T, _ *server) {
	s := startServer(t, dataDir(t), "--max-replicas", "7")
	s.deploy(t, "raised", procfileCode(probeArchive(t)), `"scaling":{"maxReplicas":6}`)
	if scaling := s.effectiveScaling(t, "raised"); count(scaling, "maxReplicas") != 6 {
		t.Errorf("6 within a cap of 7: %v", scaling)
	}
}

// effectiveScaling is the scaling that GetAppState says holds.
func (s *server) effectiveScaling(t *testing.T, app string) map[string]any {
	t.Helper()
	scaling, _ := s.state(t, app)["effectiveScaling"].(map[string]any)
	return scaling
}

// configure calls UpdateAppConfig. settings are JSON members, such as `"env":{…}`.
func (s *server) configure(t *testing.T, app, settings string) map[string]any {
	t.Helper()
	status, answer := s.do(t, http.MethodPatch, "/v1/ignite/app/acme-corp/"+app+"/config", "{"+settings+"}")
	if status != http.StatusOK {
		t.Fatalf("configure %s: %d %v", app, status, answer)
	}
	return answer
}

// awaitPods waits until an app has so many pods, and should have no more.
func (s *server) awaitPods(t *testing.T, app string, want int) {
	t.Helper()
	s.awaitState(t, app, fmt.Sprintf("%s has %d pods", app, want), func(state map[string]any) bool {
		return count(state, "readyReplicas") == want && count(state, "desiredReplicas") == want
	})
}
