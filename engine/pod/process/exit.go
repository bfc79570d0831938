package process

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitReason says how a program ended in words for the person whose program it is.
func exitReason(state *os.ProcessState) string {
	if state == nil {
		return "it was lost sight of"
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok {
		return state.String()
	}
	return statusReason(status)
}

func statusReason(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("it was ended by signal %s", unix.SignalName(status.Signal()))
	}
	return fmt.Sprintf("it exited with code %d", status.ExitStatus())
}
