package python

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"dodil.io/ignite/engine/pod/process/template"
	"dodil.io/ignite/store"
)

func TestForkedLauncher(t *testing.T) {
	t.Parallel()
	exercise(t, byFork(startTemplate(t, New(t.TempDir()))))
}

// startTemplate starts a warm parent that ends with the test.
func startTemplate(t testing.TB, r *Runtime) *template.Parent {
	t.Helper()
	launch, err := r.Launch(t.Context(), t.TempDir(), store.Version{})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(context.Background(), launch.Template.Command[0], launch.Template.Command[1:]...)
	for name, value := range launch.Template.Env {
		command.Env = append(command.Env, name+"="+value)
	}
	command.Stderr = t.Output()
	parent, err := template.Start(t.Context(), command, (*exec.Cmd).Start)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := parent.Close(); err != nil {
			t.Error(err)
		}
	})
	return parent
}

// byFork is the way of pods that have a template.
func byFork(parent *template.Parent) way {
	return func(b beginning) (running, error) {
		order := template.Order{Dir: b.launch.Dir, Env: b.env, Output: b.output}
		if b.socket != nil {
			order.Sockets = []*os.File{b.socket}
		}
		child, err := parent.Fork(order)
		return &forked{child: child}, err
	}
}

type forked struct {
	child *template.Child
	ended bool
}

func (f *forked) terminate() error { return f.child.Signal(unix.SIGTERM) }

func (f *forked) wait() int {
	status, err := f.child.Wait()
	f.ended = true
	if err != nil || !status.Exited() {
		return -1
	}
	return status.ExitStatus()
}

func (f *forked) kill() {
	if !f.ended {
		_ = f.child.Signal(unix.SIGKILL)
		f.wait()
	}
	_ = f.child.Close()
}
