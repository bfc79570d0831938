package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// lateApp listens a while after it was started.
func lateApp(after time.Duration, settings ...string) string {
	return strings.Join(append(settings, fmt.Sprintf(`"env":{"PROBE":"late","LISTEN_AFTER":%q}`, after)), ",")
}

// The specification's page "Cold starts vs warm pods", sentence by sentence. What takes minutes by default takes seconds here.
func TestSpecificationOfColdStarts(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t), "--least-scaledown-secs", "1", "--idle-teardown", "1s", "--cold-start-budget-secs", "10")
	for sentence, holds := range map[string]func(*testing.T, *server){
		"An invocation is either warm (a pod is already running) or cold (none is: one has to start)": warmOrCold,
		"The first request to a scaled-to-zero app is held while a pod is started (0 to 1) and becomes ready, then proxied through. " +
			"The call isn't rejected, it just waits": callsWaitForTheFirstPod,
		"The gateway waits up to the cold-start budget (default 600s, IGNITE_COLD_START_BUDGET_SECS) for the pod":             budgetEnds,
		"the total per-request deadline is your app timeout + the cold-start budget":                                          deadlineIsTimeoutAndBudget,
		"The trailer.duration_ms on an Invoke includes this wait":                                                             durationIncludesTheWait,
		"Once running, requests skip straight to the pod":                                                                     warmCallsDoNotWait,
		"An app stays up for scaledown_period_secs (default 300s) after traffic drops, then it is scaled back toward zero":    scaledBackToZero,
		"Long-idle apps may have their underlying resources torn down; the next request re-provisions them":                   longIdleIsTornDown,
		"Set ScalingConfig.reserved_capacity > 0 to keep that many pods always running; the app is exempt from idle teardown": reservedPodsStand,
		"those serve the first N concurrent requests with no cold start":                                                      reservedPodsServeFirst,
		"There is no separate pre-warm call":                                                                                  noPrewarmCall,
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			holds(t, s)
		})
	}
}

func warmOrCold(t *testing.T, s *server) {
	s.deploy(t, "warmth", procfileCode(probeArchive(t)), "")
	if state := s.state(t, "warmth"); state["deploymentState"] != "DEPLOYMENT_STATE_IDLE" || count(state, "readyReplicas") != 0 {
		t.Errorf("before the first call: %v", state)
	}
	first := readAll(t, s.invoke(t, "warmth", `{"http":{"path":"/instance"}}`))
	if state := s.state(t, "warmth"); state["deploymentState"] != "DEPLOYMENT_STATE_RUNNING" || count(state, "readyReplicas") != 1 {
		t.Errorf("after it: %v", state)
	}
	if second := readAll(t, s.invoke(t, "warmth", `{"http":{"path":"/instance"}}`)); second != first {
		t.Errorf("the first call came to %s, the second to %s", first, second)
	}
}

func callsWaitForTheFirstPod(t *testing.T, s *server) {
	s.deploy(t, "late", procfileCode(probeArchive(t)), lateApp(2*time.Second))
	const each = 8
	pods := make([]string, 3*each)
	var calls sync.WaitGroup
	for i := range each {
		calls.Go(func() { pods[3*i] = s.hold(t, "late")() })
		calls.Go(func() { pods[3*i+1] = readAll(t, s.invoke(t, "late", `{"http":{"path":"/instance"}}`)) })
		calls.Go(func() {
			pods[3*i+2] = string(result(t, s.await(t, s.submit(t, "late", `{"http":{"path":"/instance"}}`))))
		})
	}
	s.awaitState(t, "late", "calls wait while the first pod starts", func(state map[string]any) bool {
		return count(state, "startingReplicas") == 1 && count(state, "waiting") >= 2*each
	})
	calls.Wait()
	for _, pod := range pods {
		if pod == "" || pod != pods[0] {
			t.Errorf("calls came to the pods %q", pods)
			break
		}
	}
}

func budgetEnds(t *testing.T, s *server) {
	if standard := mustLoad(t, nil).Engine.ColdStartBudget; standard != 600*time.Second {
		t.Errorf("the budget is %v by default", standard)
	}
	if set := mustLoad(t, []string{"IGNITE_COLD_START_BUDGET_SECS=7"}).Engine.ColdStartBudget; set != 7*time.Second {
		t.Errorf("the budget is %v, set to 7 s", set)
	}
	s.deploy(t, "deaf", procfileCode(probeArchive(t)), `"env":{"PROBE":"deaf"}`)
	if answer := s.invoke(t, "deaf", `{}`); answer.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("a pod that is never ready: %s: %s", answer.Status, readAll(t, answer))
	}
}

// The pod is ready after two seconds, and a call may take one: only a deadline that has both lets it through.
func deadlineIsTimeoutAndBudget(t *testing.T, s *server) {
	s.deploy(t, "deadline", procfileCode(probeArchive(t)), lateApp(2*time.Second, `"limits":{"timeoutSecs":1}`))
	if answer := s.sendDirect(t, "deadline"); answer.StatusCode != http.StatusOK {
		t.Errorf("a call that waited longer than it may take: %s: %s", answer.Status, readAll(t, answer))
	}
	if answer := s.invoke(t, "deadline", holdUntil("/never/open")); answer.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("a call that takes longer than it may: %s", answer.Status)
	}
}

func durationIncludesTheWait(t *testing.T, s *server) {
	s.deploy(t, "duration", procfileCode(probeArchive(t)), lateApp(time.Second))
	cold := s.invoke(t, "duration", `{}`)
	readAll(t, cold)
	if took, err := strconv.Atoi(cold.Trailer.Get("duration_ms")); err != nil || took < 1000 {
		t.Errorf("duration_ms of a call that waited for a second: %q", cold.Trailer.Get("duration_ms"))
	}
}

func warmCallsDoNotWait(t *testing.T, s *server) {
	s.deploy(t, "skipping", procfileCode(probeArchive(t)), lateApp(time.Second, `"scaling":{"scaledownPeriodSecs":60}`))
	for _, cold := range []bool{true, false, false} {
		execution := s.await(t, s.submit(t, "skipping", `{}`))
		metrics, _ := execution["metrics"].(map[string]any)
		waited, _ := strconv.Atoi(fmt.Sprint(metrics["coldStartMs"]))
		if cold != (waited >= 500) {
			t.Errorf("cold: %v, but the record says that it waited %d ms: %v", cold, waited, execution)
		}
	}
}

func scaledBackToZero(t *testing.T, s *server) {
	s.deploy(t, "lasting", procfileCode(probeArchive(t)), "")
	s.deploy(t, "passing", procfileCode(probeArchive(t)), `"scaling":{"scaledownPeriodSecs":1}`)
	for _, app := range []string{"lasting", "passing"} {
		if answer := s.sendDirect(t, app); answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", app, answer.Status)
		}
	}
	s.awaitState(t, "passing", "it is scaled to zero", func(state map[string]any) bool {
		return count(state, "readyReplicas") == 0 && state["deploymentState"] == "DEPLOYMENT_STATE_IDLE"
	})
	state := s.state(t, "lasting")
	if scaling, _ := state["effectiveScaling"].(map[string]any); count(scaling, "scaledownPeriodSecs") != 300 || count(state, "readyReplicas") != 1 {
		t.Errorf("an app with the default period: %v", state)
	}
}

func longIdleIsTornDown(t *testing.T, s *server) {
	s.deploy(t, "torn", procfileCode(unlike(t, "torn")), `"scaling":{"scaledownPeriodSecs":1}`)
	first := readAll(t, s.sendInstance(t, "torn"))
	if !s.provisioned(t, "torn") {
		t.Fatal("what is provisioned for a running app is not where it is looked for")
	}
	eventually(t, "what was provisioned is gone", func() bool { return !s.provisioned(t, "torn") })
	if second := readAll(t, s.sendInstance(t, "torn")); second == first || second == "" {
		t.Errorf("the next request was answered by %q, the first by %q", second, first)
	}
}

func reservedPodsStand(t *testing.T, s *server) {
	s.deploy(t, "reserved", procfileCode(unlike(t, "reserved")), `"scaling":{"reservedCapacity":2,"scaledownPeriodSecs":1}`)
	s.awaitState(t, "reserved", "two pods run without a call", func(state map[string]any) bool { return count(state, "readyReplicas") == 2 })
	instances := func() map[string]bool {
		release := s.holdAll(t, "reserved", 2)
		s.awaitState(t, "reserved", "both calls are in pods", func(state map[string]any) bool { return count(state, "inFlight") == 2 })
		return release()
	}
	before := instances()
	s.deploy(t, "unreserved", procfileCode(unlike(t, "unreserved")), `"scaling":{"scaledownPeriodSecs":1}`)
	readAll(t, s.sendInstance(t, "unreserved"))
	eventually(t, "an app without reserved pods is torn down", func() bool { return !s.provisioned(t, "unreserved") })
	if !s.provisioned(t, "reserved") {
		t.Error("so is the one with reserved pods")
	}
	if after := instances(); len(before) != 2 || !maps.Equal(before, after) {
		t.Errorf("the pods %v did not stay: %v", before, after)
	}
}

func reservedPodsServeFirst(t *testing.T, s *server) {
	s.deploy(t, "first", procfileCode(probeArchive(t)), lateApp(time.Second, `"maxConcurrency":1`, `"scaling":{"reservedCapacity":3}`))
	s.awaitState(t, "first", "three pods run without a call", func(state map[string]any) bool { return count(state, "readyReplicas") == 3 })
	release := s.holdAll(t, "first", 3)
	s.awaitHeld(t, "first", 3)
	if state := s.state(t, "first"); count(state, "readyReplicas") != 3 || count(state, "startingReplicas") != 0 {
		t.Errorf("with three calls: %v", state)
	}
	if pods := release(); len(pods) != 3 {
		t.Errorf("three calls at once came to the pods %v, which take one each", pods)
	}
}

func noPrewarmCall(t *testing.T, s *server) {
	methods := dialByReflection(t, s.grpc, s.token).service.Methods()
	for i := range methods.Len() {
		if name := string(methods.Get(i).Name()); strings.Contains(strings.ToLower(name), "warm") {
			t.Errorf("there is %s", name)
		}
	}
}

// unlike packs a probe whose code no other app shares, and which provisioned knows by the name.
func unlike(t *testing.T, name string) []byte {
	t.Helper()
	binary, err := probeBinary()
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, map[string][]byte{"probe": binary, "Procfile": []byte("web: ./probe\n"), "name": []byte(name)})
}

// provisioned reports whether the code of an app that is like no other is unpacked.
func (s *server) provisioned(t *testing.T, name string) bool {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.dir, "code", "*", "name"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(found, func(file string) bool {
		content, err := os.ReadFile(file)
		return err == nil && string(content) == name
	})
}

func (s *server) sendInstance(t *testing.T, app string) *http.Response {
	t.Helper()
	answer, err := http.DefaultClient.Do(s.direct(t, http.MethodGet, app, "/instance", nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}
