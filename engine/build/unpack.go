package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// The permissions that unpack takes away from every file.
const (
	writable fs.FileMode = 0
	readOnly fs.FileMode = 0o222
)

// unpack writes the files and folders of a into dir, which is empty. It stops at the first error and leaves what it wrote.
func unpack(ctx context.Context, a archive, dir string, l limits, without fs.FileMode) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer func() { _ = root.Close() }()
	return walk(ctx, a, l, func(e entry, content io.Reader) error {
		if e.mode.IsDir() {
			return makeFolder(root, e.name)
		}
		if err := makeFolder(root, path.Dir(e.name)); err != nil {
			return err
		}
		return writeFile(root, e.name, e.mode&^without, content)
	})
}

func makeFolder(root *os.Root, name string) error {
	if err := root.MkdirAll(name, 0o755); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

func writeFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	_, err = io.Copy(file, content)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	return nil
}
