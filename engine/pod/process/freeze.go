package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// freezeLimit bounds the wait for processes to be frozen or to go on, which takes about a millisecond.
const freezeLimit = 2 * time.Second

var errEnding = errors.New("the pod is ending")

// freezer stops and continues all processes of a pod, those too that have left the program's process group.
type freezer interface {
	Freeze(ctx context.Context) error
	Thaw(ctx context.Context) error
}

// Freeze stops every process of the pod where it is.
func (p *process) Freeze(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping || p.reaped {
		return fmt.Errorf("freeze pod %s: %w", p.spec.Name, errEnding)
	}
	p.frozen = true
	if err := p.setFrozen(ctx, freezer.Freeze, syscall.SIGSTOP); err != nil {
		p.thaw()
		return fmt.Errorf("freeze pod %s: %w", p.spec.Name, err)
	}
	return nil
}

// Thaw lets them go on.
func (p *process) Thaw(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return fmt.Errorf("thaw pod %s: %w", p.spec.Name, errEnding)
	}
	if err := p.setFrozen(ctx, freezer.Thaw, syscall.SIGCONT); err != nil {
		return fmt.Errorf("thaw pod %s: %w", p.spec.Name, err)
	}
	p.frozen = false
	return nil
}

// setFrozen goes by the control group, or where there is none, by a signal to the process group. The caller holds mu.
func (p *process) setFrozen(ctx context.Context, set func(freezer, context.Context) error, otherwise syscall.Signal) error {
	f := p.limits.freezer()
	ctx, cancel := context.WithTimeout(ctx, freezeLimit)
	defer cancel()
	if f != nil {
		return set(f, ctx)
	}
	p.signal(otherwise)
	if otherwise == syscall.SIGSTOP {
		return awaitStopped(ctx, p.pid())
	}
	return nil
}

// thaw lets a frozen pod get the signals that end it. The caller holds mu.
func (p *process) thaw() {
	if !p.frozen || p.reaped {
		return
	}
	p.frozen = false
	_ = p.setFrozen(context.Background(), freezer.Thaw, syscall.SIGCONT) // what stays frozen is killed with its control group
}

// MemoryBytes is what the processes of the pod hold together; where they have no control group, what its program does.
func (p *process) MemoryBytes() (int64, error) {
	bytes, err := p.limits.memoryBytes(p.pid())
	if err != nil {
		return 0, fmt.Errorf("memory of pod %s: %w", p.spec.Name, err)
	}
	return bytes, nil
}
