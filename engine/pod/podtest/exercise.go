package podtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
)

// Exercise holds a driver to what pod.Driver and pod.Pod promise. open makes a driver that is closed when its test ends, and base
// is a pod whose program calls RunProgram; Exercise fills in the rest.
func Exercise(t *testing.T, open func(t *testing.T) pod.Driver, base pod.Spec) {
	for name, test := range map[string]func(suite){
		"ready":                      suite.ready,
		"ready with its socket":      suite.readyWithSocket,
		"healthy":                    suite.healthy,
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
		"close":                      suite.closeStopsAll,
		"close during start":         suite.closeDuringStart,
		"stream":                     suite.stream,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(suite{T: t, driver: open(t), base: base})
		})
	}
}

// suite is one test of one driver.
type suite struct {
	*testing.T
	driver pod.Driver
	base   pod.Spec
}

// spec is a pod of the suite's program.
func (s suite) spec(behaviour string, env ...string) pod.Spec {
	spec := s.base
	spec.Name = "app-1-" + strings.ReplaceAll(strings.ToLower(behaviour), " ", "")
	spec.Org, spec.App, spec.Version = "org", "app", 1
	spec.Env = maps.Clone(spec.Env)
	if spec.Env == nil {
		spec.Env = make(map[string]string)
	}
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

func (s suite) ready() {
	spec := s.spec(serves)
	p := s.start(spec)
	if got := s.get(p, "/"); got != "ok" {
		s.Errorf("the pod answered %q", got)
	}
	if p.Name() != spec.Name || p.Err() != nil {
		s.Errorf("pod is named %q and has error %v", p.Name(), p.Err())
	}
}

func (s suite) readyWithSocket() {
	spec := s.spec(serves)
	spec.SocketActivation = true
	if got := s.get(s.start(spec), "/"); got != "ok" {
		s.Errorf("the pod answered %q", got)
	}
}

func (s suite) healthy() {
	for _, activated := range []bool{false, true} {
		spec := s.spec(serves)
		spec.HealthPath, spec.SocketActivation = "/healthy-at-third-look", activated
		if got := s.get(s.start(spec), "/looks"); got != "3" {
			s.Errorf("the pod was ready after %s looks, want 3", got)
		}
	}
}

func (s suite) exitsBeforeReady() {
	err := s.startFails(s.spec(exits))
	s.mustMention(err.Error(), "code 3", "before it was ready", "I begin", "I give up")
	if want := []string{"I begin", "I give up"}; !slices.Equal(err.Log, want) {
		s.Errorf("log is %q, want %q", err.Log, want)
	}
}

// givenUp starts spec, cancels once its program runs, and answers the error; nothing may be left then.
func (s suite) givenUp(spec pod.Spec) error {
	s.Helper()
	line := newLifeline(s.T)
	spec.Env[lifelineVariable] = line.address()
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	failed := make(chan error, 1)
	go func() {
		_, err := s.driver.Start(ctx, spec)
		failed <- err
	}()
	conn := line.take()
	cancel(errGivenUp)
	err := <-failed
	line.mustBeCut(conn)
	if !errors.Is(err, errGivenUp) {
		s.Errorf("Start answered %v, want the context's cause", err)
	}
	return err
}

var errGivenUp = errors.New("the test gave up")

func (s suite) startGivenUp() { s.givenUp(s.spec(hangs)) }

func (s suite) neverListens() {
	err, ok := errors.AsType[*pod.StartError](s.givenUp(s.spec(hangs)))
	if !ok {
		s.Fatal("it is no StartError")
	}
	s.mustMention(err.Reason, "did not listen", "PORT")
}

func (s suite) neverHealthy() {
	spec := s.spec(serves)
	spec.HealthPath = "/never-healthy"
	err, ok := errors.AsType[*pod.StartError](s.givenUp(spec))
	if !ok {
		s.Fatal("it is no StartError")
	}
	s.mustMention(err.Reason, "/never-healthy")
}

func (s suite) missingCommand() {
	for _, activated := range []bool{false, true} {
		for _, command := range [][]string{nil, {"no-such-program"}, {"./no-such-program"}, {"/no/such/program"}} {
			spec := s.spec(serves)
			spec.Command, spec.SocketActivation = command, activated
			if err := s.startFails(spec); len(command) > 0 {
				s.mustMention(err.Error(), command[0])
			}
		}
	}
}

func (s suite) missingFolder() {
	spec := s.spec(serves)
	spec.Dir = filepath.Join(s.TempDir(), "gone")
	s.mustMention(s.startFails(spec).Error(), "no such file or directory")
}

// With its socket a pod may be ready before it fails; then its calls must fail at once, and Done say so.
func (s suite) exitsWithSocket() {
	spec := s.spec(exits)
	spec.SocketActivation = true
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	p, err := s.driver.Start(ctx, spec)
	if err != nil {
		s.mustBeStartError(p, err)
		return
	}
	if body, err := s.tryGet(p, "/"); err == nil {
		s.Errorf("a pod that exited answered %q", body)
	}
	s.await(p)
	exitError, ok := errors.AsType[*pod.ExitError](p.Err())
	if !ok {
		s.Fatalf("the pod ended with %v, want an ExitError", p.Err())
	}
	s.mustMention(exitError.Error(), "code 3", "I give up")
}

func (s suite) environment() {
	spec := s.spec(serves, "GREETING=hello = world", "LANG=de_DE.UTF-8", "PORT=1", "HOME=/elsewhere", "LISTEN_FDS=7")
	p := s.start(spec)
	env := make(map[string]string)
	for line := range strings.SplitSeq(s.get(p, "/environment"), "\n") {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	if env["GREETING"] != "hello = world" || env["LANG"] != "de_DE.UTF-8" {
		s.Errorf("the app's variables are %q and %q", env["GREETING"], env["LANG"])
	}
	if env["PORT"] == "1" || env["HOME"] == "/elsewhere" || env["LISTEN_FDS"] != "" || env["TMPDIR"] == "" {
		s.Errorf("the driver's variables are %q, %q, %q and %q", env["PORT"], env["HOME"], env["LISTEN_FDS"], env["TMPDIR"])
	}
	for _, line := range os.Environ() {
		name, value, _ := strings.Cut(line, "=")
		if _, given := spec.Env[name]; !given && name != "PATH" && env[name] == value && value != "" && name != "LANG" && name != "PWD" {
			s.Errorf("the pod sees the server's %s", name)
		}
	}
}

func (s suite) badEnvironment() {
	spec := s.spec(serves)
	spec.Env["A=B"] = "c"
	s.mustMention(s.startFails(spec).Error(), "A=B")
}

func (s suite) folder() {
	spec := s.spec(serves)
	spec.Dir = s.TempDir()
	want, err := filepath.EvalSymlinks(spec.Dir)
	if err != nil {
		s.Fatal(err)
	}
	if got := s.get(s.start(spec), "/folder"); got != want {
		s.Errorf("the pod runs in %q, want %q", got, want)
	}
	if entries, err := os.ReadDir(spec.Dir); err != nil || len(entries) > 0 {
		s.Errorf("the code's folder was written to: %v, %v", entries, err)
	}
}

func (s suite) logs() {
	p := s.start(s.spec(serves))
	for i := range 300 {
		s.get(p, fmt.Sprintf("/log?line=line-%d", i))
	}
	s.get(p, "/log?line="+strings.Repeat("x", 1<<16))
	s.stopNow(p)
	lines := p.Logs()
	if len(lines) < 100 || len(lines) > 1000 || !slices.Contains(lines, "line-299") {
		s.Fatalf("%d lines are kept, from %q", len(lines), lines[:min(3, len(lines))])
	}
	if last := lines[len(lines)-1]; len(last) == 0 || len(last) >= 1<<16 || strings.Trim(last, "x") != "" {
		s.Errorf("a line of 64 KiB is kept with %d bytes", len(last))
	}
}
