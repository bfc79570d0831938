package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"dodil.io/ignite/engine/pod/process/sandbox"
)

// door is the way into a confinement. It is gone through once: by a thread of ours that then starts the program, or by a process
// that is forked elsewhere.
type door struct {
	confinement *confinement
	view        *sandbox.View
	rules       *os.File   // Landlock's
	lists       []*os.File // of the group
	folder      *os.File   // of the group, on version 2
}

// door takes hold of all that is out of reach once the first step is done.
func (c *confinement) door() (_ *door, err error) {
	d := &door{confinement: c}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.rules, err = c.rules(); err != nil {
		return nil, err
	}
	if c.jail.root != nil {
		d.view, err = c.jail.root.View(sandbox.Folders{Home: c.home.homeDir(), Temp: c.home.tempDir(), ReadOnly: c.readOnly})
		if err != nil {
			return nil, err
		}
	}
	if c.group == nil {
		return d, nil
	}
	if d.lists, err = c.group.Lists(); err != nil {
		return nil, err
	}
	d.folder, err = c.group.Folder()
	return d, err
}

// rules are the pod's own where Landlock is all that keeps it from files, else those of all pods.
func (c *confinement) rules() (*os.File, error) {
	switch {
	case c.jail.paths:
		return sandbox.PathRules(c.paths())
	case c.jail.scopes != nil:
		return duplicate(c.jail.scopes)
	}
	return nil, nil
}

func (c *confinement) paths() sandbox.Paths {
	paths := sandbox.Paths{
		ReadOnly: slices.Concat([]string{"/proc"}, c.jail.visible.All(), c.readOnly),
		Writable: []string{c.home.homeDir(), c.home.tempDir(), "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"},
	}
	if c.jail.alone != 0 {
		// The thread that starts the pod writes the map of its users there. The server is not root, so all else belongs to others.
		paths.Writable = append(paths.Writable, "/proc")
	}
	return paths
}

func duplicate(file *os.File) (*os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		return nil, fmt.Errorf("duplicate %s: %w", file.Name(), err)
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), file.Name()), nil
}

func (d *door) close() {
	if d.view != nil {
		d.view.Close()
	}
	for _, file := range append([]*os.File{d.rules, d.folder}, d.lists...) {
		_ = file.Close() // nil has nothing to close; what was written was checked
	}
}

// start confines the calling thread, which must be nobody else's and end with the program, and starts cmd from it.
func (c *confinement) start(cmd *exec.Cmd) error {
	if c.jail.off {
		return cmd.Start()
	}
	d, err := c.door()
	if err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	defer d.close()
	if err := d.enter(); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	if d.folder != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(d.folder.Fd())
	}
	if c.group == nil {
		return cmd.Start()
	}
	return d.startInGroup(cmd)
}

// enter does all that is inherited but the group, under whose limits the thread is to be for as short as possible.
func (d *door) enter() error {
	jail := d.confinement.jail
	if d.view != nil {
		if err := d.view.Enter(sandbox.IPC | sandbox.PID); err != nil {
			return err
		}
	}
	if jail.caps {
		if err := sandbox.DropCapabilities(); err != nil {
			return err
		}
	}
	if err := sandbox.NoNewPrivileges(); err != nil {
		return err
	}
	if d.rules != nil {
		if err := sandbox.Restrict(d.rules); err != nil {
			return err
		}
	}
	if jail.filter != nil {
		return sandbox.Install(jail.filter)
	}
	return nil
}

func (d *door) startInGroup(cmd *exec.Cmd) error {
	group := d.confinement.group
	err := group.Enter(d.lists)
	if err == nil {
		err = cmd.Start()
	}
	left := group.Leave()
	if err == nil && left != nil {
		// The thread would be limited with the pod for as long as that lives.
		err = errors.Join(left, cmd.Process.Kill())
		_ = cmd.Wait() // says that it was killed
		return err
	}
	return errors.Join(err, left)
}
