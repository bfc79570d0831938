package process_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process"
)

// A sandbox that is required is had whole or not at all, and what is missing is named.
func TestSandboxRequired(t *testing.T) {
	t.Parallel()
	missing := openWith(t, process.Options{Dir: t.TempDir()}).Confinement().Missing
	driver, err := process.New(process.Options{Dir: t.TempDir(), Sandbox: process.SandboxRequired})
	if err != nil {
		t.Fatal(err)
	}
	err = driver.Open(t.Context())
	if err == nil {
		if err := driver.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if (err == nil) != (len(missing) == 0) {
		t.Errorf("Open answered %v where %q is missing", err, missing)
	}
	for _, part := range missing {
		what, _, _ := strings.Cut(part, ":")
		if !strings.Contains(err.Error(), what) {
			t.Errorf("%v does not mention %q", err, what)
		}
	}
}

// The log says once, in a line that can be read, what holds and what is missing.
func TestSandboxIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	driver, err := process.New(process.Options{Dir: t.TempDir(), Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := driver.Confinement()
	if err := driver.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var line struct{ By, Missing string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("the log is not one line: %v: %s", err, &log)
	}
	if line.By != strings.Join(found.Applied, "; ") || line.Missing != strings.Join(found.Missing, "; ") {
		t.Errorf("the log says %+v of %+v", line, found)
	}
}

func TestSandboxThatThereIsNot(t *testing.T) {
	t.Parallel()
	if _, err := process.New(process.Options{Dir: t.TempDir(), Sandbox: "maybe"}); err == nil {
		t.Error("a sandbox of an unknown kind is taken")
	}
}

// A program without a handler for TERM ends by it in its PID namespace, too, where the kernel would keep the signal from it.
func TestTermWithoutHandler(t *testing.T) {
	t.Parallel()
	p, err := openWith(t, process.Options{Dir: t.TempDir()}).Start(t.Context(), pod.Spec{
		Name: "sleep-1-test", Dir: t.TempDir(), Command: []string{"sleep", "600"}, SocketActivation: true, StopGrace: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil || p.Err() != nil {
		t.Errorf("Stop answered %v, the pod ended with %v", err, p.Err())
	}
}

// A pod that runs out of memory before it is ready fails its start with that word.
func TestStartRunsOutOfMemory(t *testing.T) {
	t.Parallel()
	s := newServer(t, process.SandboxAuto)
	s.needs(limits)
	spec := s.spec()
	spec.MemoryMB, spec.SocketActivation = 16, false
	spec.Command = []string{"sh", "-c", "head -c 200m /dev/zero | tail"}
	_, err := s.driver.Start(t.Context(), spec)
	if failed, ok := errors.AsType[*pod.StartError](err); !ok || !errors.Is(err, pod.ErrOutOfMemory) || !strings.Contains(failed.Reason, "out of memory") {
		t.Errorf("the start failed with %v", err)
	}
}

// What confines pods goes with them: control groups are not left behind, and a driver's own group goes with the driver.
func TestGroupsAreRemoved(t *testing.T) {
	t.Parallel()
	s := newServer(t, process.SandboxAuto)
	s.needs(limits)
	a := s.start(s.spec())
	if groups := process.Groups(s.driver); len(groups) != 1 {
		t.Errorf("one pod has the groups %q", groups)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if groups := process.Groups(s.driver); len(groups) != 0 {
		t.Errorf("no pod has the groups %q", groups)
	}
}

// Frozen pods use no processor time, keep their memory, and can be stopped.
func TestFrozenPodIsStopped(t *testing.T) {
	t.Parallel()
	for _, sandbox := range []process.Sandbox{process.SandboxAuto, process.SandboxOff} {
		t.Run(string(sandbox), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, sandbox)
			a := s.start(s.spec())
			freezer := a.Pod.(pod.Freezer)
			if err := freezer.Freeze(t.Context()); err != nil {
				t.Fatal(err)
			}
			if held, err := freezer.MemoryBytes(); err != nil || held < int64(os.Getpagesize()) {
				t.Errorf("it holds %d bytes, %v", held, err)
			}
			if err := a.Stop(t.Context()); err != nil || a.Err() != nil {
				t.Errorf("Stop answered %v, the pod ended with %v", err, a.Err())
			}
			if err := freezer.Freeze(t.Context()); err == nil {
				t.Error("a pod that has ended was frozen")
			}
		})
	}
}
