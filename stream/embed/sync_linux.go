package embed

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// canSyncGroups says that one call syncs all files of the store, also those made a moment ago.
const canSyncGroups = true

// openCommitter keeps the folder open from before the first write on: syncfs reports a failed write-back of the
// file system once to every descriptor that was open when it failed.
func openCommitter(o Options) (*committer, error) {
	if o.Sync == SyncInterval {
		return &committer{}, nil
	}
	folder, err := os.Open(o.StoreDir)
	if err != nil {
		return nil, fmt.Errorf("open store folder: %w", err)
	}
	return newCommitter(func() error { return syncFS(folder) }, folder.Close), nil
}

func syncFS(folder *os.File) error {
	if err := unix.Syncfs(int(folder.Fd())); err != nil {
		return os.NewSyscallError("syncfs", err)
	}
	return nil
}
