package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tree is a copy of a file or folder, with what is mounted in it, that is not mounted anywhere yet. So it can be taken from one mount
// namespace to another.
type tree struct {
	fd  int
	dir bool
}

func copyTree(path string, attributes uint64) (tree, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return tree{}, fmt.Errorf("copy mount of %s: %w", path, err)
	}
	t := tree{fd: fd}
	var stat unix.Stat_t
	err = errors.Join(t.set(attributes), unix.Fstat(fd, &stat))
	if err != nil {
		t.close()
		return tree{}, fmt.Errorf("copy mount of %s: %w", path, err)
	}
	t.dir = stat.Mode&unix.S_IFMT == unix.S_IFDIR
	return t, nil
}

// set changes how the tree is mounted, and keeps what is mounted in it later from appearing where it was copied from.
func (t tree) set(attributes uint64) error {
	return unix.MountSetattr(t.fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attributes, Propagation: unix.MS_PRIVATE})
}

// attach mounts the tree on target, which is made if there is none.
func (t tree) attach(target string) error {
	if err := t.makePlace(target); err != nil {
		return err
	}
	if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount on %s: %w", target, err)
	}
	return nil
}

// makePlace makes folders through which one can go without being able to list them: they tell of other pods.
func (t tree) makePlace(target string) error {
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if t.dir {
		return os.MkdirAll(target, 0o711)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o711); err != nil {
		return err
	}
	place, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return place.Close()
}

func (t tree) close() { _ = unix.Close(t.fd) }
