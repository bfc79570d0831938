package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits are those of all processes of a Group together; 0 is none.
type Limits struct {
	MemoryBytes   int64
	CPUMillicores int64
	Processes     int64
}

// Group is a set of processes that share limits. Its methods may be called concurrently.
type Group struct {
	tree *Tree
	name string
	dirs map[string]string // by controller
}

// Name is what New was given.
func (g *Group) Name() string { return g.name }

// New makes a group of that name. Limits that the tree cannot set are passed over.
func (t *Tree) New(name string, limits Limits) (*Group, error) {
	g := t.group(name)
	for _, dir := range g.folders() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("make control group: %w", err), g.removeNow())
		}
	}
	if err := g.limit(limits); err != nil {
		return nil, errors.Join(err, g.removeNow())
	}
	return g, nil
}

func (t *Tree) group(name string) *Group {
	g := &Group{tree: t, name: name, dirs: make(map[string]string, len(t.parents))}
	for controller, parent := range t.parents {
		g.dirs[controller] = filepath.Join(parent, name)
	}
	return g
}

// Left are the groups that an earlier process did not remove.
func (t *Tree) Left() ([]*Group, error) {
	names := make(map[string]bool)
	for _, parent := range t.dirs() {
		entries, err := os.ReadDir(parent)
		if err != nil {
			return nil, fmt.Errorf("list control groups: %w", err)
		}
		for _, entry := range entries {
			if entry.IsDir() {
				names[entry.Name()] = true
			}
		}
	}
	var left []*Group
	for name := range names {
		left = append(left, t.group(name))
	}
	return left, nil
}

// folders are those of the group, each once.
func (g *Group) folders() []string {
	var dirs []string
	for _, dir := range g.dirs {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// Enter moves the calling thread into the group, for the processes that it starts to be in it, by the group's Lists. On version 2 it
// does nothing.
func (g *Group) Enter(lists []*os.File) error {
	if g.tree.v2 {
		return nil
	}
	for _, list := range lists {
		if _, err := list.WriteString("0"); err != nil {
			return fmt.Errorf("enter control group: %w", err)
		}
	}
	return nil
}

// Leave moves the calling thread back to where its process is.
func (g *Group) Leave() error {
	for _, home := range g.tree.homes {
		if _, err := home.WriteString("0"); err != nil {
			return fmt.Errorf("leave control group: %w", err)
		}
	}
	return nil
}

// Folder is what a process can be started in on version 2; nil on version 1. The caller closes it.
func (g *Group) Folder() (*os.File, error) {
	if !g.tree.v2 {
		return nil, nil
	}
	return os.Open(g.dirs[freezer])
}

// Lists are files of which each takes a process with one thread that writes "0" to it into a part of the group. The caller closes them.
func (g *Group) Lists() ([]*os.File, error) {
	name := "tasks"
	if g.tree.v2 {
		name = "cgroup.procs"
	}
	var lists []*os.File
	for _, dir := range g.folders() {
		list, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
		if err != nil {
			for _, opened := range lists {
				err = errors.Join(err, opened.Close())
			}
			return nil, err
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// MemoryBytes is what the group's processes hold, with the files that the kernel has cached for them.
func (g *Group) MemoryBytes() (int64, error) {
	text, err := g.read(memory, "memory.usage_in_bytes", "memory.current")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
}

// OutOfMemory counts the processes of the group that the kernel has killed because the group wanted more memory than it may have.
func (g *Group) OutOfMemory() (int64, error) {
	text, err := g.read(memory, "memory.oom_control", "memory.events")
	if err != nil {
		return 0, err
	}
	return field(text, "oom_kill")
}

// Throttled counts the periods in which the group had to wait for its next share of processor time.
func (g *Group) Throttled() (int64, error) {
	text, err := g.read(cpu, "cpu.stat", "cpu.stat")
	if err != nil {
		return 0, err
	}
	return field(text, "nr_throttled")
}

// field answers the number of the line "name number" in text.
func field(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), " "); found && key == name {
			return strconv.ParseInt(value, 10, 64)
		}
	}
	return 0, fmt.Errorf("there is no %s in %q", name, text)
}

var errNoController = errors.New("the control group has no such part")

// read answers a file, by its names in version 1 and version 2.
func (g *Group) read(controller, v1, v2 string) (string, error) {
	dir, ok := g.dirs[controller]
	if !ok {
		return "", fmt.Errorf("read %s: %w", v2, errNoController)
	}
	name := v1
	if g.tree.v2 {
		name = v2
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	return string(data), err
}

// Kill ends every process of the group, frozen ones too.
func (g *Group) Kill() error {
	if g.tree.v2 {
		err := write(g.dirs[freezer], "cgroup.kill", "1")
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err := g.kill()
	// Frozen processes of version 1 die when they are thawed.
	if dir, ok := g.dirs[freezer]; ok && !g.tree.v2 {
		err = errors.Join(err, write(dir, "freezer.state", "THAWED"))
	}
	return err
}

// kill signals the processes that there are, until there are none that were not signalled: they may start others meanwhile.
func (g *Group) kill() error {
	for signalled := make(map[int]bool); ; {
		members, err := g.members()
		if err != nil {
			return err
		}
		members = slices.DeleteFunc(members, func(pid int) bool { return signalled[pid] })
		if len(members) == 0 {
			return nil
		}
		for _, pid := range members {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have exited by now
			signalled[pid] = true
		}
	}
}

// members lists the processes of the group. What is in one part of it is in all.
func (g *Group) members() ([]int, error) {
	folders := g.folders()
	if len(folders) == 0 {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(folders[0], "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list processes of control group: %w", err)
	}
	var members []int
	for word := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
			members = append(members, pid)
		}
	}
	return members, nil
}

const (
	minDelay = time.Millisecond
	maxDelay = 20 * time.Millisecond
)

// Remove removes the group once its processes are gone, which the caller has seen to, or when ctx ends.
func (g *Group) Remove(ctx context.Context) error {
	return await(ctx, func() (bool, error) {
		err := g.removeNow()
		return !errors.Is(err, syscall.EBUSY), err
	})
}

func (g *Group) removeNow() error {
	var faults []error
	for _, dir := range g.folders() {
		faults = append(faults, removeDir(dir))
	}
	return errors.Join(faults...)
}

// await calls done until that says so, and answers its error, with ctx's cause if that ends before.
func await(ctx context.Context, done func() (bool, error)) error {
	for delay := minDelay; ; delay = min(2*delay, maxDelay) {
		ok, err := done()
		if ok {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(delay):
		}
	}
}
