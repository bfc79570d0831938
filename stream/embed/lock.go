package embed

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFolder takes the folder's lock file until it is closed. The kernel gives it back when the process dies, however it dies.
func lockFolder(name string) (*os.File, error) {
	lock, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(lockError(name, err), lock.Close())
	}
	return lock, nil
}

func lockError(name string, err error) error {
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: %w", name, ErrInUse)
	}
	return fmt.Errorf("lock %s: %w", name, err)
}
