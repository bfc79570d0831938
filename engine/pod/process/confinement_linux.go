package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process/cgroup"
	"dodil.io/ignite/engine/pod/process/sandbox"
)

// maxProcesses bounds the processes and threads of a pod, so that one that starts them without end stops itself and nobody else.
const maxProcesses = 512

// confinement is what one pod can see, reach and use. A part of it that the machine does not allow is nil.
type confinement struct {
	jail     *jail
	home     home
	group    *cgroup.Group
	user     int
	readOnly []string
}

// confine makes what the pod of spec needs for itself. It is given back by remove.
func (j *jail) confine(spec pod.Spec, h home) (*confinement, error) {
	c := &confinement{jail: j, home: h}
	if j.off {
		return c, nil
	}
	program, err := lookUp(spec)
	if err != nil {
		return nil, err
	}
	c.readOnly = slices.Concat([]string{spec.Dir}, sandbox.Installation(program), spec.ReadOnly)
	if err := errors.Join(c.makeUser(), c.makeGroup(spec)); err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

// makeUser gives the pod's folders to a user of its own.
func (c *confinement) makeUser() (err error) {
	if c.jail.root == nil {
		return nil
	}
	if c.user, err = c.jail.users.take(); err != nil {
		return err
	}
	return errors.Join(os.Chown(c.home.homeDir(), c.user, c.user), os.Chown(c.home.tempDir(), c.user, c.user))
}

func (c *confinement) makeGroup(spec pod.Spec) (err error) {
	if c.jail.groups == nil {
		return nil
	}
	c.group, err = c.jail.groups.New(filepath.Base(c.home.dir), cgroup.Limits{
		MemoryBytes: int64(spec.MemoryMB) << 20, CPUMillicores: int64(spec.CPUMillicores), Processes: maxProcesses,
	})
	return err
}

// homeDir and tempDir are what the pod knows its folders by.
func (c *confinement) homeDir() string {
	if c.jail.root != nil {
		return sandbox.Home
	}
	return c.home.homeDir()
}

func (c *confinement) tempDir() string {
	if c.jail.root != nil {
		return sandbox.Temp
	}
	return c.home.tempDir()
}

// endsWhole reports whether nothing is left of the pod once its program has exited: that is the first process of a PID namespace,
// with which the kernel ends all others.
func (c *confinement) endsWhole() bool { return c.jail.root != nil }

// isInit reports whether a program that start has started is process 1 of a PID namespace.
func (c *confinement) isInit() bool { return c.jail.root != nil || c.jail.alone != 0 }

func (c *confinement) attributes() *syscall.SysProcAttr {
	attributes := ownGroup()
	if c.jail.root != nil {
		user := uint32(c.user)
		attributes.Credential = &syscall.Credential{Uid: user, Gid: user}
	}
	if c.jail.alone != 0 {
		inUserNamespace(attributes, c.jail.alone)
	}
	return attributes
}

// outOfMemory reports whether the kernel has killed anything of the pod because it wanted more memory than it may have.
func (c *confinement) outOfMemory() bool {
	if c.group == nil {
		return false
	}
	killed, err := c.group.OutOfMemory()
	return err == nil && killed > 0
}

// freezer answers nil where signals have to do.
func (c *confinement) freezer() freezer {
	if c.group == nil || !c.jail.groups.CanFreeze() {
		return nil
	}
	return c.group
}

// memoryBytes is what the group holds, or if there is none, the process pid.
func (c *confinement) memoryBytes(pid int) (int64, error) {
	if c.group != nil {
		if bytes, err := c.group.MemoryBytes(); err == nil {
			return bytes, nil
		}
	}
	data, err := os.ReadFile(procFile(pid, "statm"))
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return resident * int64(os.Getpagesize()), nil
}

// remove gives back what confine made. Nothing of the pod runs any longer.
func (c *confinement) remove() error {
	if c.user != 0 {
		c.jail.users.giveBack(c.user)
	}
	if c.group == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), goneLimit)
	defer cancel()
	return c.group.Remove(ctx)
}
