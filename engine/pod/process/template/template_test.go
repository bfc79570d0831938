//go:build linux

package template_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dodil.io/ignite/engine/pod/process/template"
)

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(parentVariable); behaviour != "" {
		if err := runParent(behaviour); err != nil {
			panic(err)
		}
		return
	}
	m.Run()
}

func command(t *testing.T, behaviour string) *exec.Cmd {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(context.Background(), executable)
	command.Env = append(os.Environ(), parentVariable+"="+behaviour)
	command.Stderr = t.Output()
	return command
}

func start(t *testing.T, behaviour string) *template.Parent {
	t.Helper()
	parent, err := template.Start(t.Context(), command(t, behaviour), (*exec.Cmd).Start)
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

// fork makes a pod that runs script, and answers it with what it prints.
func fork(t *testing.T, parent *template.Parent, script string) (child *template.Child, output *os.File) {
	t.Helper()
	output, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	child, err = parent.Fork(template.Order{
		NewPID: true, Dir: "/folder", Env: []string{script}, Output: theirs,
		Sockets: []*os.File{theirs}, Files: []*os.File{theirs, theirs}, Steps: []string{"a step"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = child.Close(), output.Close() })
	return child, output
}

func TestFork(t *testing.T) {
	t.Parallel()
	child, output := fork(t, start(t, forks), "echo I run; exit 7")
	status, err := child.Wait()
	if err != nil || !status.Exited() || status.ExitStatus() != 7 {
		t.Errorf("it ended with %v, %v", status, err)
	}
	want := `1 6 {"dir":"/folder","env":["echo I run; exit 7"],"sockets":1,"steps":["a step"]}` + "\nI run\n"
	if got := lines(output); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSignalReachesTheGroup(t *testing.T) {
	t.Parallel()
	child, output := fork(t, start(t, forks), "trap 'exit 3' TERM; (trap 'echo child; exit' TERM; sleep 60 & echo ready; wait) & wait")
	awaitLine(t, output, "ready")
	if err := child.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status, err := child.Wait(); err != nil || status.ExitStatus() != 3 {
		t.Errorf("it ended with %v, %v", status, err)
	}
	awaitLine(t, output, "child")
	if err := child.Signal(unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Errorf("a signal to what has exited: %v", err)
	}
}

// awaitLine reads until text, byte by byte, so that nothing that comes after it is lost.
func awaitLine(t *testing.T, output *os.File, text string) {
	t.Helper()
	var read strings.Builder
	for !strings.HasSuffix(read.String(), text+"\n") {
		one := make([]byte, 1)
		if _, err := output.Read(one); err != nil {
			t.Fatalf("read %q: %v", read.String(), err)
		}
		read.Write(one)
	}
}

func TestCloseEndsWhatIsLeft(t *testing.T) {
	t.Parallel()
	child, output := fork(t, start(t, forks), "echo ready; exec sleep 60")
	awaitLine(t, output, "ready")
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	lines(output) // ends with the last process that has it
}

func TestParentThatDies(t *testing.T) {
	t.Parallel()
	parent := start(t, forks)
	child, output := fork(t, parent, "echo ready; exec sleep 60")
	awaitLine(t, output, "ready")
	if err := syscall.Kill(parent.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status, err := child.Wait(); !errors.Is(err, template.ErrOrphaned) {
		t.Errorf("it ended with %v, %v", status, err)
	}
	lines(output)
	<-parent.Done()
	if err := parent.Err(); !errors.Is(err, template.ErrEnded) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the parent ended with %v", err)
	}
}

func TestOrdersThatFail(t *testing.T) {
	t.Parallel()
	for behaviour, want := range map[string]string{
		refuses:     "fork from template: I do not want to",
		diesOfOrder: template.ErrEnded.Error(),
		losesOrders: template.ErrEnded.Error(),
	} {
		t.Run(behaviour, func(t *testing.T) {
			t.Parallel()
			child, err := start(t, behaviour).Fork(template.Order{Output: os.Stderr})
			if child != nil || err == nil || err.Error() != want {
				t.Errorf("got %v, %v, want %s", child, err, want)
			}
			if _, is := errors.AsType[*template.Fault](err); is != (behaviour == refuses) {
				t.Errorf("%v is a fault: %v", err, is)
			}
		})
	}
}

func TestClosedParent(t *testing.T) {
	t.Parallel()
	parent := start(t, forks)
	for range 2 {
		if err := parent.Close(); err != nil {
			t.Error(err)
		}
	}
	<-parent.Done()
	if err := parent.Err(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if child, err := parent.Fork(template.Order{Output: os.Stderr}); err == nil {
		t.Errorf("it forked %v", child)
	}
}

func TestStartThatFails(t *testing.T) {
	t.Parallel()
	parent, err := template.Start(t.Context(), command(t, exitsEarly), (*exec.Cmd).Start)
	if parent != nil || err == nil || err.Error() != "the template ended before it was ready: exit status 0" {
		t.Errorf("got %v, %v", parent, err)
	}
}

func TestStartThatIsGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	nobodyWaits := errors.New("nobody wants it")
	cancel(nobodyWaits)
	parent, err := template.Start(ctx, command(t, isSilent), (*exec.Cmd).Start)
	if parent != nil || !errors.Is(err, nobodyWaits) {
		t.Errorf("got %v, %v", parent, err)
	}
}
