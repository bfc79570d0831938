package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// NoNewPrivileges makes set-user-id programs ordinary ones for all that the calling thread starts.
func NoNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	return nil
}

// DropCapabilities empties the bounding set of the calling thread: nothing that it starts can have a capability once it has executed a
// program, not even as root. The thread itself keeps its own, which it needs to kill what it has started.
func DropCapabilities() error {
	for capability := uintptr(0); ; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) && capability > unix.CAP_CHOWN {
			return nil // the kernel knows no more
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
}
