//go:build !linux

package build

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// syncFolder returns once everything under dir is on disk.
func syncFolder(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), file.Close())
	})
}
