package process

import (
	"os/exec"
	"syscall"

	"dodil.io/ignite/engine/pod/process/sandbox"
)

// spawned is a program that the driver has started itself. It has a thread of the server's that lives as long as the program: what
// confines a thread is inherited by the processes that it starts, and can mostly not be taken back, and the kernel sends the
// parent-death signal when the thread that started a program ends, not the process.
type spawned struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// spawn starts cmd in the confinement c.
func spawn(cmd *exec.Cmd, c *confinement) (*spawned, error) {
	s := &spawned{cmd: cmd, exited: make(chan struct{})}
	result := make(chan error, 1)
	sandbox.Go(func() { s.run(c, result) })
	if err := <-result; err != nil {
		return nil, err
	}
	return s, nil
}

// run is the thread, which ends with it.
func (s *spawned) run(c *confinement, result chan<- error) {
	defer close(s.exited)
	err := c.start(s.cmd)
	result <- err
	if err == nil {
		awaitExit(s.cmd)
	}
}

func (s *spawned) pid() int { return s.cmd.Process.Pid }

func (s *spawned) wait(ended func()) string {
	<-s.exited
	_ = waitLeader(s.cmd, ended) // says what ProcessState does, or that the output was held open
	return exitReason(s.cmd.ProcessState)
}

func (s *spawned) signal(number syscall.Signal) {
	_ = syscall.Kill(-s.pid(), number) // fails only if all have exited
}
