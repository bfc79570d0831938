package podtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
)

// Subject is a driver under test.
type Subject struct {
	// Open makes a driver that is closed when its test ends.
	Open func(t *testing.T) pod.Driver
	// Base is a pod whose program calls RunProgram; Exercise fills in the rest.
	Base pod.Spec
	// Host is the test's own address as the pods of a driver see it; nil means that both are at 127.0.0.1.
	Host func(t *testing.T, driver pod.Driver) string
	// Folder is where pods run whose code is not in Spec.Dir but came with them; empty for those that run in Spec.Dir.
	Folder string
}

// Exercise holds a driver to what pod.Driver and pod.Pod promise.
func Exercise(t *testing.T, subject Subject) {
	for name, test := range map[string]func(suite){
		"ready":                      suite.ready,
		"ready with its socket":      suite.readyWithSocket,
		"healthy":                    suite.healthy,
		"health optional":            suite.healthOptional,
		"exits before ready":         suite.exitsBeforeReady,
		"never listens":              suite.neverListens,
		"never healthy":              suite.neverHealthy,
		"missing command":            suite.missingCommand,
		"missing folder":             suite.missingFolder,
		"exits with its socket":      suite.exitsWithSocket,
		"environment":                suite.environment,
		"environment that cannot be": suite.badEnvironment,
		"folder":                     suite.folder,
		"logs":                       suite.logs,
		"crash":                      suite.crash,
		"stop":                       suite.stop,
		"stop what ignores TERM":     suite.stopStubborn,
		"stop outlasts its context":  suite.stopOutlastsContext,
		"children":                   suite.children,
		"children of a crash":        suite.childrenOfCrash,
		"many at once":               suite.manyAtOnce,
		"start given up":             suite.startGivenUp,
		"start given up before":      suite.startGivenUpBefore,
		"close":                      suite.closeStopsAll,
		"close during start":         suite.closeDuringStart,
		"stream":                     suite.stream,
		"ports":                      suite.ports,
		"freeze":                     suite.freeze,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newSuite(t, subject))
		})
	}
}

// suite is one test of one driver.
type suite struct {
	*testing.T
	driver     pod.Driver
	base       pod.Spec
	workingDir string
	// host is where lifelines end.
	host string
}

func newSuite(t *testing.T, subject Subject) suite {
	s := suite{T: t, driver: subject.Open(t), base: subject.Base, workingDir: subject.Folder, host: "127.0.0.1"}
	s.base.Env = maps.Clone(s.base.Env)
	if s.base.Env == nil {
		s.base.Env = make(map[string]string)
	}
	if subject.Host != nil {
		s.host = subject.Host(t, s.driver)
		s.base.Env[listenVariable] = everywhere
	}
	return s
}

// spec is a pod of the suite's program.
func (s suite) spec(behaviour string, env ...string) pod.Spec {
	spec := s.base
	spec.Name = "app-1-" + strings.ReplaceAll(strings.ToLower(behaviour), " ", "")
	spec.Org, spec.App, spec.Version = "org", "app", 1
	spec.Env = maps.Clone(spec.Env)
	spec.Env[behaviourVariable] = behaviour
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		spec.Env[name] = value
	}
	return spec
}

func (s suite) start(spec pod.Spec) pod.Pod {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	p, err := s.driver.Start(ctx, spec)
	if err != nil {
		s.Fatal(err)
	}
	return p
}

// startFails answers the error of a start that must fail long before its context ends.
func (s suite) startFails(spec pod.Spec) *pod.StartError {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	p, err := s.driver.Start(ctx, spec)
	return s.mustBeStartError(p, err)
}

func (s suite) mustBeStartError(p pod.Pod, err error) *pod.StartError {
	s.Helper()
	startError, ok := errors.AsType[*pod.StartError](err)
	if !ok || p != nil {
		s.Fatalf("Start answered %v, %v, want a StartError", p, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("Start did not fail fast: %v", err)
	}
	return startError
}

func (s suite) get(p pod.Pod, path string) string {
	s.Helper()
	body, err := s.tryGet(p, path)
	if err != nil {
		s.Fatal(err)
	}
	return body
}

func (s suite) tryGet(p pod.Pod, path string) (string, error) {
	response, err := s.open(p, path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s answered %s: %s", path, response.Status, body)
	}
	return string(body), err
}

func (s suite) open(p pod.Pod, path string) (*http.Response, error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	return client.Get(p.Addr().String() + path)
}

func (s suite) await(p pod.Pod) {
	s.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		s.Fatal("the pod did not end")
	}
}

func (s suite) stopNow(p pod.Pod) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.Context()), patience)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		s.Fatal(err)
	}
}

func (s suite) mustMention(text string, words ...string) {
	s.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			s.Errorf("%q does not mention %q", text, word)
		}
	}
}
