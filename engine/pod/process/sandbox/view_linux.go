package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Folders are what one pod has beside the Root.
type Folders struct {
	// Home and Temp are the pod's to write to. It knows them as Home and Temp of this package.
	Home, Temp string
	// ReadOnly are files and folders that it sees at their own paths.
	ReadOnly []string
}

// View is a Root with the folders of one pod. It is entered once.
type View struct {
	root       *Root
	home, temp tree
	readOnly   map[string]tree
	order      []string
}

// View takes copies of the folders, which are not in the Root and so cannot be found from there.
func (r *Root) View(folders Folders) (_ *View, err error) {
	v := &View{root: r, home: tree{fd: -1}, temp: tree{fd: -1}, readOnly: make(map[string]tree)}
	defer func() {
		if err != nil {
			v.Close()
		}
	}()
	const own = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	if v.home, err = copyTree(folders.Home, own); err != nil {
		return nil, err
	}
	if v.temp, err = copyTree(folders.Temp, own); err != nil {
		return nil, err
	}
	for _, path := range r.visible.missing(slices.Concat(folders.ReadOnly, r.visible.Late)) {
		if v.readOnly[path], err = copyTree(path, own|unix.MOUNT_ATTR_RDONLY); err != nil {
			delete(v.readOnly, path)
			return nil, err
		}
		v.order = append(v.order, path)
	}
	return v, nil
}

// Namespaces tells Enter what else is to be the pod's own.
type Namespaces uintptr

// What Enter can make beside the mount namespace.
const (
	IPC Namespaces = unix.CLONE_NEWIPC
	// PID makes the next process that the thread starts the first of a namespace.
	PID Namespaces = unix.CLONE_NEWPID
)

// Enter moves the calling thread into a copy of the Root, for good.
func (v *View) Enter(others Namespaces) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("part with the process's root: %w", err)
	}
	if err := unix.Setns(int(v.root.namespace.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | int(others)); err != nil {
		return fmt.Errorf("new namespaces: %w", err)
	}
	if err := v.mount(); err != nil {
		return err
	}
	return v.root.seal()
}

func (v *View) mount() error {
	if err := v.temp.attach(Temp); err != nil {
		return err
	}
	if err := v.home.attach(Home); err != nil {
		return err
	}
	if err := unix.Mount("shm", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=64m"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	for _, path := range v.order {
		if err := v.readOnly[path].attach(path); err != nil {
			return err
		}
	}
	return nil
}

// seal makes read-only what could be written to so far, to make places for mounts.
func (r *Root) seal() error {
	for _, path := range append([]string{"/"}, r.covers...) {
		if err := unix.MountSetattr(unix.AT_FDCWD, path, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("make %s read-only: %w", path, err)
		}
	}
	return nil
}

// OpenNamespaces answers the mount and the IPC namespace that the calling thread has entered.
func OpenNamespaces() (mounts, ipc *os.File, err error) {
	mounts, err = os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return nil, nil, err
	}
	ipc, err = os.Open("/proc/thread-self/ns/ipc")
	if err != nil {
		return nil, nil, errors.Join(err, mounts.Close())
	}
	return mounts, ipc, nil
}

// Close lets go of the folders. A thread that has entered keeps them.
func (v *View) Close() {
	for _, t := range append([]tree{v.home, v.temp}, v.trees()...) {
		if t.fd >= 0 {
			t.close()
		}
	}
}

func (v *View) trees() []tree {
	var trees []tree
	for _, t := range v.readOnly {
		trees = append(trees, t)
	}
	return trees
}
