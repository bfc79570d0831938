package podtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dodil.io/ignite/engine/pod"
)

// The in-memory driver keeps the promises of the real ones, as far as they do not need a process.
func TestMemoryDriver(t *testing.T) {
	t.Parallel()
	Exercise(t, Subject{
		Open: func(t *testing.T) pod.Driver {
			t.Helper()
			driver := NewLoopback(runInMemory)
			t.Cleanup(func() {
				if err := driver.Close(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
			return driver
		},
		Base: pod.Spec{Dir: t.TempDir(), Command: []string{memoryCommand}},
	})
}

// memoryCommand is the one that can be run in memory.
const memoryCommand = "program"

// runInMemory is the suite's program for a pod that is no process: what a machine would refuse it refuses itself.
func runInMemory(ctx context.Context, spec pod.Spec) (http.Handler, error) {
	if len(spec.Command) == 0 || spec.Command[0] != memoryCommand {
		return nil, fmt.Errorf("no such command: %q", spec.Command)
	}
	if _, err := os.Stat(spec.Dir); err != nil {
		return nil, err
	}
	for name := range spec.Env {
		if strings.Contains(name, "=") {
			return nil, fmt.Errorf("environment variable %q cannot be set", name)
		}
	}
	world := memory{PodOf(ctx), spec}
	if err := world.hold(spec.Env[lifelineVariable]); err != nil {
		return nil, err
	}
	return world.run(ctx)
}

// memory is the world of a program without a machine.
type memory struct {
	pod  *MemoryPod
	spec pod.Spec
}

func (m memory) run(ctx context.Context) (http.Handler, error) {
	switch m.spec.Env[behaviourVariable] {
	case exits:
		m.print("I begin")
		m.print("I give up")
		return nil, errors.New(exited + " before it was ready")
	case hangs:
		m.print("I hang")
		<-ctx.Done()
		return nil, fmt.Errorf("it did not listen on $PORT: %w", context.Cause(ctx))
	}
	m.print("I serve")
	return handler(m), nil
}

var exited = fmt.Sprintf("it exited with code %d", exitCode)

func (m memory) environment() []string {
	all := map[string]string{"LANG": "C.UTF-8"}
	maps.Copy(all, m.spec.Env)
	all["PORT"], all["HOME"], all["TMPDIR"] = m.pod.Addr().Port(), m.spec.Dir, m.spec.Dir
	delete(all, "LISTEN_FDS")
	var pairs []string
	for name, value := range all {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	return pairs
}

func (m memory) folder() string {
	folder, err := filepath.EvalSymlinks(m.spec.Dir)
	if err != nil {
		return err.Error()
	}
	return folder
}

func (m memory) print(line string) { m.pod.Logf("%s", line) }

func (m memory) crash() { m.pod.Crash(exited) }

func (m memory) child(lifeline string, _ bool) error { return m.hold(lifeline) }

// hold keeps a lifeline for as long as the pod is there.
func (m memory) hold(lifeline string) error {
	if lifeline == "" {
		return nil
	}
	conn, err := net.Dial("tcp", lifeline)
	if err != nil {
		return err
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection, as the next does with the pod
	go func() {
		<-m.pod.Done()
		_ = conn.Close()
	}()
	return nil
}
