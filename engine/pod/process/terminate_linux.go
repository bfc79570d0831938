package process

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// terminate asks the program to end. The kernel keeps from process 1 of a PID namespace each signal that it has no handler for, TERM
// too, which ends any other process. So that is done by KILL. The caller holds mu.
func (p *process) terminate() {
	deaf := p.limits.isInit() && !p.reaped && !answersTerm(p.pid())
	p.signal(syscall.SIGTERM)
	if deaf {
		p.signal(syscall.SIGKILL)
	}
}

// answersTerm reports whether a process has a handler for TERM, or ignores it of its own accord.
func answersTerm(pid int) bool {
	status, err := os.ReadFile(procFile(pid, "status"))
	return err != nil || (signalSet(status, "SigCgt")|signalSet(status, "SigIgn"))&(1<<(syscall.SIGTERM-1)) != 0
}

// signalSet reads a set of signals from proc_pid_status(5); it is empty if that cannot be read.
func signalSet(status []byte, name string) uint64 {
	for line := range bytes.Lines(status) {
		if key, value, found := bytes.Cut(line, []byte(":")); found && string(key) == name {
			set, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
			if err != nil {
				return 0
			}
			return set
		}
	}
	return 0
}
