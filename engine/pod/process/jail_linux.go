package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"dodil.io/ignite/engine/pod/process/cgroup"
	"dodil.io/ignite/engine/pod/process/sandbox"
)

// jail is what all pods of a driver have in common of their confinement. What the machine does not allow is nil in it.
type jail struct {
	off     bool
	found   Confinement
	groups  *cgroup.Tree
	visible sandbox.Visible
	root    *sandbox.Root // with it, pods have users, and mount, PID and IPC namespaces of their own
	users   *users
	// alone are the namespaces of pods that are the server's user.
	alone  uintptr
	caps   bool
	filter []byte
	paths  bool     // Landlock says which files pods may use
	scopes *os.File // Landlock's rules for signals and abstract sockets
}

func unconfined() *jail { return &jail{off: true} }

// newJail tries each part of the confinement once. dir is the driver's folder.
func newJail(dir string, hidden []string) (*jail, error) {
	j := &jail{visible: sandbox.Machine(searchPath(), append([]string{dir}, hidden...))}
	for _, part := range []struct {
		what string
		try  func(dir string) error
	}{
		{"limits of memory, processor time and number of processes", j.openGroups},
		{"a user, and mount, PID and IPC namespaces for each pod", j.openRoot},
		{"no capabilities", j.dropCapabilities},
		{"no new privileges", func(string) error { return sandbox.On(sandbox.NoNewPrivileges) }},
		{"a filter of system calls", j.openFilter},
		{"files and signals kept apart by Landlock", j.openLandlock},
	} {
		if err := part.try(dir); err != nil {
			j.found.Missing = append(j.found.Missing, part.what+": "+err.Error())
		} else {
			j.found.Applied = append(j.found.Applied, part.what)
		}
	}
	return j, nil
}

func (j *jail) confinement() Confinement { return j.found }

// openGroups makes the group of the driver's groups. Its name comes from the folder, so that the next server finds it.
func (j *jail) openGroups(dir string) error {
	sum := sha256.Sum256([]byte(dir))
	tree, err := cgroup.Open("ignite-" + hex.EncodeToString(sum[:6]))
	if err != nil {
		return err
	}
	j.groups = tree
	var faults []error
	for _, what := range slices.Sorted(maps.Keys(tree.Missing())) {
		faults = append(faults, fmt.Errorf("%s: %w", what, tree.Missing()[what]))
	}
	return errors.Join(faults...)
}

// openRoot makes what pods of their own user live in. If that cannot be, they are the server's user, with a PID namespace if
// that can be.
func (j *jail) openRoot(dir string) error {
	err := j.tryRoot(dir)
	if err != nil {
		j.tryAlone()
	}
	return err
}

func (j *jail) tryRoot(dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("the server is not root")
	}
	uidMap, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return err
	}
	if j.users, err = newUsers(string(uidMap)); err != nil {
		return err
	}
	at := filepath.Join(dir, "root")
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	root, err := sandbox.NewRoot(at, j.visible)
	if err != nil {
		return err
	}
	if err := enterOnce(root, at); err != nil {
		return errors.Join(err, root.Close())
	}
	j.root = root
	return nil
}

// enterOnce does with dir what is done with the folders of every pod.
func enterOnce(root *sandbox.Root, dir string) error {
	view, err := root.View(sandbox.Folders{Home: dir, Temp: dir})
	if err != nil {
		return err
	}
	defer view.Close()
	return sandbox.On(func() error { return view.Enter(sandbox.IPC | sandbox.PID) })
}

// tryAlone finds out whether users that are not root may have namespaces. Root would have all capabilities in them.
func (j *jail) tryAlone() {
	if os.Geteuid() == 0 {
		return
	}
	const alone = syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC
	cmd := exec.Command("/bin/sh", "-c", ":")
	cmd.SysProcAttr = inUserNamespace(&syscall.SysProcAttr{}, alone)
	if cmd.Run() == nil {
		j.alone = alone
	}
}

// inUserNamespace starts a program in namespaces in which it is who it was, and nobody else exists.
func inUserNamespace(attributes *syscall.SysProcAttr, namespaces uintptr) *syscall.SysProcAttr {
	attributes.Cloneflags = namespaces
	attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	return attributes
}

// dropCapabilities is no loss to a server that has none.
func (j *jail) dropCapabilities(string) error {
	err := sandbox.On(sandbox.DropCapabilities)
	if err != nil && os.Geteuid() != 0 {
		return nil
	}
	j.caps = err == nil
	return err
}

func (j *jail) openFilter(string) error {
	filter, err := sandbox.Filter(sandbox.Allowances{CloneFlags: j.alone, Clone3: j.groups != nil && j.groups.Version() == 2})
	if err != nil {
		return err
	}
	err = sandbox.On(func() error { return errors.Join(sandbox.NoNewPrivileges(), sandbox.Install(filter)) })
	if err == nil {
		j.filter = filter
	}
	return err
}

// openLandlock wants rules for files only where there is no Root, in which there is nothing to keep from a pod. Signals cannot leave a
// PID namespace either; sockets without a file can.
func (j *jail) openLandlock(string) error {
	switch version := sandbox.LandlockVersion(); {
	case version == 0:
		return errors.New("the kernel has none")
	case j.root == nil:
		j.paths = true
		return nil
	case !sandbox.LandlockScopes():
		return fmt.Errorf("the kernel's version %d cannot restrict signals and abstract sockets", version)
	}
	rules, err := sandbox.ScopeRules()
	j.scopes = rules
	return err
}

// removeLeftovers ends the groups of a server that did not come to remove them.
func (j *jail) removeLeftovers(ctx context.Context, logger *slog.Logger) {
	if j.groups == nil {
		return
	}
	left, err := j.groups.Left()
	if err != nil {
		logger.WarnContext(ctx, "control groups of an earlier server cannot be looked up", slog.Any("error", err))
	}
	ctx, cancel := context.WithTimeout(ctx, goneLimit)
	defer cancel()
	for _, group := range left {
		if err := errors.Join(group.Kill(), group.Remove(ctx)); err != nil {
			logger.WarnContext(ctx, "a control group of an earlier server's pod is left behind", slog.Any("error", err))
		}
	}
}

func (j *jail) close() error {
	var faults []error
	if j.root != nil {
		faults = append(faults, j.root.Close())
	}
	if j.scopes != nil {
		faults = append(faults, j.scopes.Close())
	}
	if j.groups != nil {
		faults = append(faults, j.groups.Close())
	}
	return errors.Join(faults...)
}
