package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The controllers that are used, by the names that both versions give to them. Freezing needs one in version 1 only.
const (
	memory    = "memory"
	cpu       = "cpu"
	processes = "pids"
	freezer   = "freezer"
)

// leaf is the group in which this process is on version 2.
const leaf = "ignite-server"

// Tree is where the groups of one server are.
type Tree struct {
	v2      bool
	parents map[string]string   // by controller, the folder in which groups are made
	homes   map[string]*os.File // on version 1, by controller, the list of threads of our own group
	missing map[string]error
}

// Open makes a Tree of this name in the group of this process. A Tree that can limit nothing is an error; one that can limit some
// things says so in Missing. What an earlier process left in it is still there (Left).
func Open(name string) (*Tree, error) {
	mountInfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	return open(string(mountInfo), string(self), name)
}

func open(mountInfo, self, name string) (*Tree, error) {
	all, err := hierarchies(mountInfo, self)
	if err != nil {
		return nil, err
	}
	t := &Tree{parents: make(map[string]string), homes: make(map[string]*os.File), missing: make(map[string]error)}
	if own, ok := unified(all); ok {
		t.v2 = true
		t.openV2(own, name)
	} else {
		t.openV1(all, name)
	}
	if len(t.parents) == 0 {
		return nil, errors.Join(errors.New("no control group can be limited"), t.missing[memory])
	}
	return t, nil
}

// unified answers our group of version 2, if that has memory among its controllers: where version 1 is mounted too, it may have none.
func unified(all []hierarchy) (own string, ok bool) {
	for _, h := range all {
		if h.isV2() && slices.Contains(available(h.own), memory) {
			return h.own, true
		}
	}
	return "", false
}

// available lists the controllers of a group of version 2.
func available(dir string) []string {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

func (t *Tree) openV1(all []hierarchy, name string) {
	for _, controller := range []string{memory, cpu, processes, freezer} {
		dir, home, err := openController(all, controller, name)
		if err != nil {
			t.missing[controller] = err
			continue
		}
		t.parents[controller], t.homes[controller] = dir, home
	}
}

func openController(all []hierarchy, controller, name string) (string, *os.File, error) {
	i := slices.IndexFunc(all, func(h hierarchy) bool { return slices.Contains(h.controllers, controller) })
	if i < 0 {
		return "", nil, errors.New("no such control groups are mounted")
	}
	dir := filepath.Join(all[i].own, name)
	if err := makeDir(dir); err != nil {
		return "", nil, err
	}
	home, err := os.OpenFile(filepath.Join(all[i].own, "tasks"), os.O_WRONLY, 0)
	if err != nil {
		return "", nil, err
	}
	return dir, home, nil
}

func (t *Tree) openV2(own, name string) {
	base := own
	if filepath.Base(own) == leaf {
		base = filepath.Dir(own) // another Tree of this process has moved us
	}
	dir := filepath.Join(base, name)
	err := makeDir(dir)
	if err == nil {
		err = moveAside(base)
	}
	for _, controller := range []string{memory, cpu, processes} {
		failed := err
		if failed == nil {
			failed = errors.Join(enable(base, controller), enable(dir, controller))
		}
		if failed != nil {
			t.missing[controller] = failed
			continue
		}
		t.parents[controller] = dir
	}
	if len(t.parents) > 0 {
		t.parents[freezer] = dir // every group can be frozen
	}
}

// moveAside leaves the group for one beneath it, unless it is the root, which may have both processes and groups with limits.
func moveAside(base string) error {
	if _, err := os.Stat(filepath.Join(base, "cgroup.type")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	aside := filepath.Join(base, leaf)
	if err := makeDir(aside); err != nil {
		return err
	}
	return write(aside, "cgroup.procs", "0")
}

func enable(dir, controller string) error {
	return write(dir, "cgroup.subtree_control", "+"+controller)
}

// Missing says what cannot be limited and why.
func (t *Tree) Missing() map[string]error {
	named := make(map[string]error)
	for controller, words := range map[string]string{memory: "memory", cpu: "processor time", processes: "number of processes"} {
		if err := t.missing[controller]; err != nil {
			named[words] = err
		}
	}
	return named
}

// Version is 1 or 2.
func (t *Tree) Version() int {
	if t.v2 {
		return 2
	}
	return 1
}

// Close removes the Tree, which must have no groups any more.
func (t *Tree) Close() error {
	var faults []error
	for _, dir := range t.dirs() {
		faults = append(faults, removeDir(dir))
	}
	for _, home := range t.homes {
		faults = append(faults, home.Close())
	}
	return errors.Join(faults...)
}

// dirs are the folders of parents, each once: controllers may share one.
func (t *Tree) dirs() []string {
	var dirs []string
	for _, dir := range t.parents {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func removeDir(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// write sets a file of a group, in one write, as the kernel wants it.
func write(dir, name, value string) error {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_TRUNC, 0)
	if err == nil {
		_, err = file.WriteString(value)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("set %s of control group to %s: %w", name, value, err)
	}
	return nil
}
