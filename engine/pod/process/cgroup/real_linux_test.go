package cgroup_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod/process/cgroup"
	"dodil.io/ignite/engine/pod/process/sandbox"
)

// tree opens one on this machine, or skips the test if that allows none.
func tree(t *testing.T) *cgroup.Tree {
	t.Helper()
	tree, err := cgroup.Open("ignite-test-" + strings.ToLower(t.Name()))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	if len(tree.Missing()) > 0 {
		t.Skip(tree.Missing())
	}
	return tree
}

func group(t *testing.T, tree *cgroup.Tree, limits cgroup.Limits) *cgroup.Group {
	t.Helper()
	g, err := tree.New("group", limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(g.Kill(), g.Remove(patience(t))); err != nil {
			t.Error(err)
		}
	})
	return g
}

// patience is for what takes milliseconds.
func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// start starts a shell in g.
func start(t *testing.T, g *cgroup.Group, line string) (*exec.Cmd, io.WriteCloser) {
	t.Helper()
	lists, err := g.Lists()
	if err != nil {
		t.Fatal(err)
	}
	folder, err := g.Folder()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", line)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if folder != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd())}
	}
	err = sandbox.On(func() error { return errors.Join(g.Enter(lists), cmd.Start(), g.Leave()) })
	for _, file := range append(lists, folder) {
		_ = file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, input
}

func TestMemoryLimit(t *testing.T) {
	tree := tree(t)
	g := group(t, tree, cgroup.Limits{MemoryBytes: 32 << 20})
	cmd, input := start(t, g, "read line; head -c 200m /dev/zero | tail >/dev/null")
	if killed, err := g.OutOfMemory(); err != nil || killed != 0 {
		t.Errorf("%d were killed before, %v", killed, err)
	}
	if held, err := g.MemoryBytes(); err != nil || held == 0 {
		t.Errorf("the group holds %d bytes, %v", held, err)
	}
	_, _ = io.WriteString(input, "\n")
	if err := cmd.Wait(); err == nil {
		t.Error("200 MB were held under a limit of 32")
	}
	if killed, err := g.OutOfMemory(); err != nil || killed == 0 {
		t.Errorf("%d were killed, %v", killed, err)
	}
}

func TestProcessesLimit(t *testing.T) {
	g := group(t, tree(t), cgroup.Limits{Processes: 4})
	cmd, _ := start(t, g, "for i in 1 2 3 4 5 6; do sleep 10 & done 2>&1")
	if err := cmd.Wait(); err == nil {
		t.Error("six processes were started under a limit of four")
	}
}

func TestFreeze(t *testing.T) {
	g := group(t, tree(t), cgroup.Limits{})
	cmd, input := start(t, g, "read line; exit 3")
	if err := g.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(input, "\n")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("a frozen process ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := g.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err, ok := errors.AsType[*exec.ExitError](<-ended); !ok || err.ExitCode() != 3 {
		t.Errorf("the process ended with %v", err)
	}
}

// What an earlier process left is found and ended, frozen or not.
func TestLeft(t *testing.T) {
	tree := tree(t)
	g, err := tree.New("left", cgroup.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	cmd, _ := start(t, g, "sleep 60")
	if err := g.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := tree.Left()
	if err != nil || len(left) != 1 {
		t.Fatalf("left are %v, %v", left, err)
	}
	if err := left[0].Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process was not killed")
	}
	if err := left[0].Remove(patience(t)); err != nil {
		t.Error(err)
	}
	if left, err := tree.Left(); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// The server's own threads stay where they were.
func TestLeave(t *testing.T) {
	g := group(t, tree(t), cgroup.Limits{})
	before, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	lists, err := g.Lists()
	if err != nil {
		t.Fatal(err)
	}
	var during, after []byte
	err = sandbox.On(func() (err error) {
		if err := g.Enter(lists); err != nil {
			return err
		}
		if during, err = os.ReadFile("/proc/thread-self/cgroup"); err != nil {
			return err
		}
		if err := g.Leave(); err != nil {
			return err
		}
		after, err = os.ReadFile("/proc/thread-self/cgroup")
		return err
	})
	for _, list := range lists {
		_ = list.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(after) != string(before) || string(during) == string(before) {
		t.Errorf("the thread was in\n%s, then in\n%s, then in\n%s", before, during, after)
	}
}
