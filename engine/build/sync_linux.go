package build

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFolder returns once everything under dir is on disk: one sync of the file system is cheaper than one of each file.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(folder.Fd())))
}
