package process

import (
	"errors"
	"os"

	"dodil.io/ignite/engine/pod/process/sandbox"
)

// errNoEntry says that a process that is forked elsewhere would keep capabilities of the server's.
var errNoEntry = errors.New("pods have no user of their own here, and the server is root")

// entry is what start does, for a process that is forked elsewhere, by root if pods have users of their own. Its files are the caller's
// to close.
func (c *confinement) entry() (_ entry, err error) {
	if c.jail.off {
		return entry{}, nil
	}
	if c.jail.root == nil && os.Geteuid() == 0 {
		return entry{}, errNoEntry
	}
	d, err := c.door()
	if err != nil {
		return entry{}, err
	}
	defer d.close()
	var e entry
	d.addGroup(&e)
	if err := d.addNamespaces(&e); err != nil {
		return entry{}, errors.Join(err, e.close())
	}
	if c.user != 0 {
		e.Steps = append(e.Steps, step{User: c.user})
	}
	e.Steps = append(e.Steps, step{NoNewPrivileges: true})
	if d.rules != nil {
		e.Steps = append(e.Steps, step{Landlock: e.file(d.rules)})
		d.rules = nil
	}
	if c.jail.filter != nil {
		e.Steps = append(e.Steps, step{Seccomp: c.jail.filter})
	}
	return e, nil
}

// file adds a file, which is e's from now on, and answers its index.
func (e *entry) file(file *os.File) *int {
	e.Files = append(e.Files, file)
	return new(len(e.Files) - 1)
}

func (e *entry) close() error {
	var faults []error
	for _, file := range e.Files {
		faults = append(faults, file.Close())
	}
	return errors.Join(faults...)
}

func (d *door) addGroup(e *entry) {
	if d.confinement.endsWhole() {
		e.Steps = append(e.Steps, step{NewPID: true})
	}
	for _, list := range d.lists {
		e.Steps = append(e.Steps, step{Join: e.file(list)})
	}
	d.lists = nil
}

// addNamespaces makes them on a thread that ends; the files keep them.
func (d *door) addNamespaces(e *entry) error {
	if d.view == nil {
		return nil
	}
	return sandbox.On(func() error {
		if err := d.view.Enter(sandbox.IPC); err != nil {
			return err
		}
		mounts, ipc, err := sandbox.OpenNamespaces()
		if err != nil {
			return err
		}
		e.Steps = append(e.Steps, step{SetNS: e.file(ipc)}, step{SetNS: e.file(mounts)})
		return nil
	})
}
