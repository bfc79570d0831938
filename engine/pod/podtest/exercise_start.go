package podtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dodil.io/ignite/engine/pod"
)

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

// healthOptional: what has no health path is ready when it answers; what says "not yet" there is waited for.
func (s suite) healthOptional() {
	for path, looks := range map[string]string{"/never-healthy": "0", "/healthy-at-third-look": "3"} {
		spec := s.spec(serves)
		spec.HealthPath, spec.HealthOptional = path, true
		if got := s.get(s.start(spec), "/looks"); got != looks {
			s.Errorf("%s: the pod was ready after %s looks, want %s", path, got, looks)
		}
	}
}

func (s suite) exitsBeforeReady() {
	err := s.startFails(s.spec(exits))
	s.mustMention(err.Error(), "code 3", "before it was ready", "I begin", "I give up")
	slices.Sort(err.Log) // the one is standard output, the other standard error, which may overtake each other
	if want := []string{"I begin", "I give up"}; !slices.Equal(err.Log, want) {
		s.Errorf("log is %q, want %q", err.Log, want)
	}
}

// givenUp starts spec, cancels once its program runs, and answers the error; nothing may be left then.
func (s suite) givenUp(spec pod.Spec) error {
	s.Helper()
	line := newLifeline(s.T, s.host)
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

func (s suite) startGivenUp() { _ = s.givenUp(s.spec(hangs)) }

func (s suite) startGivenUpBefore() {
	ctx, cancel := context.WithCancelCause(s.Context())
	cancel(errGivenUp)
	spec := s.spec(serves)
	spec.SocketActivation = true
	if p, err := s.driver.Start(ctx, spec); !errors.Is(err, errGivenUp) || p != nil {
		s.Errorf("Start answered %v, %v, want the context's cause", p, err)
	}
}

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
		_ = s.mustBeStartError(p, err)
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
	if got, want := s.get(s.start(spec), "/folder"), cmp.Or(s.workingDir, want); got != want {
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
