package process

import (
	"os/exec"
	"syscall"
)

// program is the first process of a pod: one that the driver has started itself, or one that a template has forked.
type program interface {
	pid() int
	// wait returns when it has exited and what it wrote was read, and says how it ended. It calls ended when it has exited, but
	// before anybody else can have its process id.
	wait(ended func()) (reason string)
	// signal reaches its whole group; it must not be called once ended has returned.
	signal(s syscall.Signal)
}

// spawned is a program that the driver has started itself.
type spawned struct{ cmd *exec.Cmd }

func (s spawned) pid() int { return s.cmd.Process.Pid }

func (s spawned) wait(ended func()) string {
	_ = waitLeader(s.cmd, ended) // says what ProcessState does, or that the output was held open
	return exitReason(s.cmd.ProcessState)
}

func (s spawned) signal(number syscall.Signal) {
	_ = syscall.Kill(-s.pid(), number) // fails only if all have exited
}
