package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Root is a mount namespace of which every pod gets a copy: the machine's programs, read-only, /proc with the processes of
// the reader's own user, and devices that hold nothing.
type Root struct {
	namespace *os.File
	covers    []string // folders of the machine that are empty here
	visible   Visible
}

// NewRoot makes a Root in which the pods see visible. at is an empty folder that nobody else uses.
func NewRoot(at string, visible Visible) (*Root, error) {
	if err := startOtherChildren(); err != nil {
		return nil, err
	}
	r := &Root{visible: visible}
	// The thread ends; its namespace is kept by the file.
	if err := On(func() error { return r.make(at) }); err != nil {
		return nil, fmt.Errorf("make root: %w", err)
	}
	return r, nil
}

// startOtherChildren makes package os start, on this thread, the process by which it finds out once how to wait for others. On a
// thread with a PID namespace to fill, that would be the first in it, and with its end the namespace takes no more.
func startOtherChildren() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Release()
}

func (r *Root) make(at string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("new mount namespace: %w", err)
	}
	// Nothing that is mounted from here on is seen outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("root", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=16m"); err != nil {
		return fmt.Errorf("mount an empty root: %w", err)
	}
	for _, fill := range []func(at string) error{r.fillFolders, r.fillMachine, r.fillDevices, r.fillProc, r.cover} {
		if err := fill(at); err != nil {
			return err
		}
	}
	if err := changeRoot(at); err != nil {
		return err
	}
	namespace, err := os.Open("/proc/thread-self/ns/mnt")
	r.namespace = namespace
	return err
}

func (*Root) fillFolders(at string) error {
	for _, dir := range []string{Home, Temp, "/var", "/run", "/dev/shm", "/proc"} {
		if err := os.MkdirAll(filepath.Join(at, dir), 0o755); err != nil {
			return err
		}
	}
	return os.Symlink("../tmp", filepath.Join(at, "var/tmp"))
}

// fillMachine shows the machine's own files.
func (r *Root) fillMachine(at string) error {
	for name, target := range r.visible.Links {
		if err := os.Symlink(target, filepath.Join(at, name)); err != nil {
			return err
		}
	}
	for _, path := range r.visible.Paths {
		if err := show(path, filepath.Join(at, path)); err != nil {
			return fmt.Errorf("show %s: %w", path, err)
		}
	}
	return nil
}

// show mounts a read-only copy of path, with what is mounted in it, on target.
func show(path, target string) error {
	tree, err := copyTree(path, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return err
	}
	defer tree.close()
	return tree.attach(target)
}

// fillDevices shows those that hold nothing of anybody's.
func (*Root) fillDevices(at string) error {
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		tree, err := copyTree(filepath.Join("/dev", name), unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
		if err != nil {
			return err
		}
		err = tree.attach(filepath.Join(at, "dev", name))
		tree.close()
		if err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, filepath.Join(at, "dev", name)); err != nil {
			return err
		}
	}
	return nil
}

// fillProc mounts a /proc in which processes of other users do not appear. It is that of the server's PID namespace, as nobody can mount one of
// a namespace that has no process yet; /proc/self is right in it all the same.
func (*Root) fillProc(at string) error {
	at = filepath.Join(at, "proc")
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	err := unix.Mount("proc", at, "proc", flags, "hidepid=invisible")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("proc", at, "proc", flags, "hidepid=2") // as kernels before 5.8 call it
	}
	if err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// cover hides what is in folders that are shown.
func (r *Root) cover(at string) error {
	for _, path := range r.visible.Hidden {
		target := filepath.Join(at, path)
		info, err := os.Lstat(target)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case !info.IsDir():
			err = show("/dev/null", target)
		default:
			err = unix.Mount("hidden", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=711,size=1m")
			r.covers = append(r.covers, path)
		}
		if err != nil {
			return fmt.Errorf("hide %s: %w", path, err)
		}
	}
	return nil
}

// changeRoot makes at the root of the calling thread and lets go of all else.
func changeRoot(at string) error {
	if err := unix.Chdir(at); err != nil {
		return err
	}
	// With both the same, the old root lies on the new one and can be taken off.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the old root: %w", err)
	}
	return unix.Chdir("/")
}

// Close lets go of the Root. Copies of it live on.
func (r *Root) Close() error { return r.namespace.Close() }
