package process

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownGroup makes a program the leader of a process group. There is no parent-death signal here; what a killed server leaves
// is found by the next one.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit leaves the wait to waitLeader.
func awaitExit(*exec.Cmd) {}

// waitLeader waits for the program and its output, and calls ended then.
func waitLeader(cmd *exec.Cmd, ended func()) error {
	err := cmd.Wait()
	ended()
	return err
}

// awaitGone returns true when no process of the group is left. They have been killed before; the number is 0 if it is not known.
func awaitGone(group int, _ home, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for delay := time.Millisecond; group > 0; delay = min(2*delay, 20*time.Millisecond) {
		if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(delay)
	}
	return true
}

// awaitStopped does not wait: the system does not say whether all threads have stopped.
func awaitStopped(context.Context, int) error { return nil }

// terminate asks the program to end. The caller holds mu.
func (p *process) terminate() { p.signal(syscall.SIGTERM) }

// started tells this process from any other that has, had or will have its id.
func started(pid int) (string, error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return "", fmt.Errorf("look up process %d: %w", pid, err)
	}
	if int(info.Proc.P_pid) != pid {
		return "", fmt.Errorf("there is no process %d", pid)
	}
	return fmt.Sprintf("%d.%06d", info.Proc.P_starttime.Sec, info.Proc.P_starttime.Usec), nil
}
