package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files are the folders and files of a tree, as the kernel would make them; tests make them because a tree of plain files does not.
type files map[string]string

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	for name, content := range f {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func mustHold(t *testing.T, dir string, want files) {
	t.Helper()
	for name, content := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != content {
			t.Errorf("%s holds %q, %v, want %q", name, got, err, content)
		}
	}
}

// service is a tree of version 2 in which this process is alone in its group, as a service is that may make groups.
func service(t *testing.T, controllers string) (dir string, open func() (*Tree, error)) {
	t.Helper()
	dir = t.TempDir()
	files{
		"service/cgroup.controllers": controllers, "service/cgroup.type": "domain\n", "service/cgroup.subtree_control": "",
		"service/" + leaf + "/cgroup.procs":   "",
		"service/ours/cgroup.subtree_control": "",
	}.write(t, dir)
	mountInfo := fmt.Sprintf("31 30 0:27 / %s rw - cgroup2 cgroup2 rw\n", dir)
	return dir, func() (*Tree, error) { return open2(mountInfo, "0::/service\n") }
}

func open2(mountInfo, self string) (*Tree, error) { return open(mountInfo, self, "ours") }

func TestVersion2(t *testing.T) {
	t.Parallel()
	dir, open := service(t, "cpuset cpu io memory hugetlb pids rdma\n")
	tree, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if tree.Version() != 2 || len(tree.Missing()) > 0 || !tree.CanFreeze() {
		t.Errorf("version %d, missing %v", tree.Version(), tree.Missing())
	}
	// Processes and limits cannot both be in a group, so that this process has to be in one beneath its own.
	mustHold(t, dir, files{"service/" + leaf + "/cgroup.procs": "0", "service/cgroup.subtree_control": "+pids", "service/ours/cgroup.subtree_control": "+pids"})
}

func TestLimitsOfVersion2(t *testing.T) {
	t.Parallel()
	dir, open := service(t, "cpu memory pids")
	tree, err := open()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "service/ours/pod")
	made := files{"memory.max": "max", "memory.oom.group": "0", "memory.swap.max": "max", "cpu.max": "max 100000", "pids.max": "max"}
	made.write(t, own)
	if err := tree.group("pod").limit(Limits{MemoryBytes: 256 << 20, CPUMillicores: 250, Processes: 512}); err != nil {
		t.Fatal(err)
	}
	mustHold(t, own, files{
		"memory.max": "268435456", "memory.oom.group": "1", "memory.swap.max": "0", "cpu.max": "25000 100000", "pids.max": "512",
	})
}

// A kernel without swap has no file for its limit, and no limit is set that was not asked for.
func TestLimitsOfVersion2ThatAreNotThere(t *testing.T) {
	t.Parallel()
	dir, open := service(t, "cpu memory pids")
	tree, err := open()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "service/ours/pod")
	files{"memory.max": "max", "cpu.max": "max 100000", "pids.max": "max"}.write(t, own)
	if err := tree.group("pod").limit(Limits{MemoryBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	mustHold(t, own, files{"memory.max": "1048576", "cpu.max": "max 100000", "pids.max": "max"})
	if err := tree.group("other").limit(Limits{MemoryBytes: 1 << 20}); err == nil {
		t.Error("a group that is not there was limited")
	}
}

func TestStateOfVersion2(t *testing.T) {
	t.Parallel()
	dir, open := service(t, "cpu memory pids")
	tree, err := open()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "service/ours/pod")
	state := files{
		"memory.current": "4096\n", "memory.events": "low 0\nhigh 0\nmax 17\noom 3\noom_kill 2\noom_group_kill 1\n",
		"cpu.stat":      "usage_usec 10\nnr_periods 5\nnr_throttled 4\n",
		"cgroup.freeze": "0", "cgroup.events": "populated 1\nfrozen 1\n", "cgroup.kill": "", "cgroup.procs": "",
	}
	state.write(t, own)
	g := tree.group("pod")
	for what, count := range map[string]struct {
		read func() (int64, error)
		want int64
	}{"memory": {g.MemoryBytes, 4096}, "killed": {g.OutOfMemory, 2}, "throttled": {g.Throttled, 4}} {
		if got, err := count.read(); err != nil || got != count.want {
			t.Errorf("%s is %d, %v, want %d", what, got, err, count.want)
		}
	}
	if err := g.Freeze(t.Context()); err != nil {
		t.Error(err)
	}
	mustHold(t, own, files{"cgroup.freeze": "1"})
	files{"cgroup.events": "populated 1\nfrozen 0\n"}.write(t, own)
	if err := g.Thaw(t.Context()); err != nil {
		t.Error(err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	mustHold(t, own, files{"cgroup.freeze": "0", "cgroup.kill": "1"})
}

func TestDoorsOfVersion2(t *testing.T) {
	t.Parallel()
	dir, open := service(t, "cpu memory pids")
	tree, err := open()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "service/ours/pod")
	files{"cgroup.procs": ""}.write(t, own)
	g := tree.group("pod")
	folder, err := g.Folder()
	if err != nil || folder.Name() != own {
		t.Fatalf("the folder is %v, %v", folder, err)
	}
	defer folder.Close()
	lists, err := g.Lists()
	if err != nil || len(lists) != 1 {
		t.Fatalf("the lists are %v, %v", lists, err)
	}
	defer lists[0].Close()
	if err := g.Enter(lists); err != nil {
		t.Error(err)
	}
	mustHold(t, own, files{"cgroup.procs": ""}) // threads cannot enter by themselves
}

// A machine may give away some controllers and not others.
func TestVersion2WithoutProcesses(t *testing.T) {
	t.Parallel()
	dir, open := service(t, "memory")
	if err := os.Remove(filepath.Join(dir, "service/ours/cgroup.subtree_control")); err != nil {
		t.Fatal(err)
	}
	if tree, err := open(); err == nil {
		t.Errorf("limits that cannot be set were promised: %v", tree.Missing())
	} else if !strings.Contains(err.Error(), "subtree_control") {
		t.Errorf("the error is %v", err)
	}
}

func TestMissingIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files{"memory/tasks": "", "freezer/tasks": ""}.write(t, dir)
	mountInfo := fmt.Sprintf("32 30 0:28 / %s/memory rw - cgroup cgroup rw,memory\n33 30 0:29 / %s/freezer rw - cgroup cgroup rw,freezer\n", dir, dir)
	tree, err := open(mountInfo, "4:memory:/\n5:freezer:/\n", "ours")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	missing := tree.Missing()
	if len(missing) != 2 || missing["processor time"] == nil || missing["number of processes"] == nil {
		t.Errorf("missing are %v", missing)
	}
	if _, err := open("", "", "ours"); err == nil {
		t.Error("a machine without control groups has some")
	}
}
