//go:build linux

package template

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"time"
)

const (
	// orderLimit is how long a fork and the way into the confinement may take; they take milliseconds.
	orderLimit = 10 * time.Second
	// closeLimit is how long a parent may take to end once its driver has hung up.
	closeLimit = 2 * time.Second
)

// ErrEnded says that the parent is not there any longer.
var ErrEnded = errors.New("the template ended")

// Parent is a warm parent. Its methods may be called concurrently.
type Parent struct {
	command *exec.Cmd
	orders  *net.UnixConn
	closed  atomic.Bool
	done    chan struct{}
}

// Start starts command as a parent by means of start, and returns when it takes orders. The parent dies with the thread that start
// starts it from, if command says so, and so do its pods.
func Start(ctx context.Context, command *exec.Cmd, start func(*exec.Cmd) error) (*Parent, error) {
	orders, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	command.ExtraFiles = []*os.File{theirs}
	err = errors.Join(start(command), theirs.Close())
	if err != nil {
		return nil, errors.Join(err, orders.Close())
	}
	p := &Parent{command: command, orders: orders, done: make(chan struct{})}
	go p.run()
	if err := p.awaitReady(ctx); err != nil {
		p.kill()
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// run waits for the parent's end, which Close brings about.
func (p *Parent) run() {
	_ = p.command.Wait() // ProcessState says how it ended
	close(p.done)
}

func (p *Parent) awaitReady(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.orders.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	said, _, err := receive(p.orders)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		<-p.done
		return fmt.Errorf("%w before it was ready: %s", ErrEnded, p.command.ProcessState)
	case err != nil:
		return err
	case !said.Ready:
		return fmt.Errorf("the template is not ready: %s", said.Fault)
	}
	return nil
}

// Done is closed when the parent has exited.
func (p *Parent) Done() <-chan struct{} { return p.done }

// Err says after Done how it ended; nil after Close.
func (p *Parent) Err() error {
	if p.closed.Load() {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrEnded, p.command.ProcessState)
}

// PID is the parent's process id.
func (p *Parent) PID() int { return p.command.Process.Pid }

// Close ends the parent and with it what is left of its pods, and returns when it is gone.
func (p *Parent) Close() error {
	p.closed.Store(true)
	err := p.orders.Close()
	killing := time.AfterFunc(closeLimit, p.kill)
	defer killing.Stop()
	<-p.done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Parent) kill() { _ = p.command.Process.Kill() } // fails only if it has exited
