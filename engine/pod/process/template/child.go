//go:build linux

package template

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ErrOrphaned says that a child was killed because its parent had ended.
var ErrOrphaned = errors.New("the template that it was forked from ended")

// Child is a forked pod. Signal may be called until Close, also while Wait waits.
type Child struct {
	// PID is nobody else's until Close.
	PID   int
	wire  *net.UnixConn
	pidfd *os.File
}

// begin returns when the child is known and has entered its confinement, in whichever order that is heard.
func (c *Child) begin() error {
	for entered := false; !entered || c.pidfd == nil; {
		said, err := c.listen()
		switch {
		case errors.Is(err, io.EOF):
			return ErrEnded
		case err != nil:
			return fmt.Errorf("hear of the child: %w", err)
		case said.Fault != "":
			c.awaitEnd()
			return &Fault{said.Fault}
		case said.Status != nil:
			return &Fault{"it ended on its way"}
		}
		entered = entered || said.Entered
	}
	return nil
}

// listen answers the next notice, and remembers who the child is when it is told.
func (c *Child) listen() (notice, error) {
	said, pidfd, err := receive(c.wire)
	if pidfd != nil {
		c.PID, c.pidfd = said.PID, pidfd
	}
	return said, err
}

// awaitEnd returns when a child that is about to exit has.
func (c *Child) awaitEnd() {
	for {
		if said, err := c.listen(); err != nil || said.Status != nil {
			return
		}
	}
}

// Wait returns the child's wait status when it has exited, or ErrOrphaned. It is called once.
func (c *Child) Wait() (unix.WaitStatus, error) {
	for {
		said, err := c.listen()
		switch {
		case err != nil:
			return 0, errors.Join(ErrOrphaned, c.end())
		case said.Status != nil:
			return unix.WaitStatus(*said.Status), nil
		}
	}
}

// end makes sure of what the parent's death has brought about, and returns when the child has exited.
func (c *Child) end() error {
	_ = c.Signal(unix.SIGKILL) // fails only if it has exited
	descriptors := []unix.PollFd{{Fd: int32(c.pidfd.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(descriptors, -1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Signal sends number to all of the child's process group. It reaches no stranger, even when the process id has been used again.
func (c *Child) Signal(number unix.Signal) error {
	err := unix.PidfdSendSignal(int(c.pidfd.Fd()), number, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// Linux before 6.9 knows groups by number only; the number is the child's while that exists.
	if err := unix.PidfdSendSignal(int(c.pidfd.Fd()), 0, nil, 0); err != nil {
		return err
	}
	return unix.Kill(-c.PID, number)
}

// Close lets go of the child: what is left of its group is killed, and its process id may be used again.
func (c *Child) Close() error {
	if c.pidfd == nil {
		return c.wire.Close()
	}
	return errors.Join(c.wire.Close(), c.pidfd.Close())
}
