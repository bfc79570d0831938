package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Sandbox says how far the processes of pods are confined.
type Sandbox string

// The zero value is SandboxAuto.
const (
	// SandboxAuto confines them as far as the machine allows; Open logs what it does not.
	SandboxAuto Sandbox = "auto"
	// SandboxRequired makes Open fail when the machine does not allow all of it.
	SandboxRequired Sandbox = "required"
	// SandboxOff runs them as the server's user with everything that this user may do.
	SandboxOff Sandbox = "off"
)

// Confinement says in plain words how far pods are confined here.
type Confinement struct {
	// Applied is what holds for every pod.
	Applied []string
	// Missing is what this machine does not allow, each with the reason.
	Missing []string
}

// Confinement is known once the driver is open.
func (d *Driver) Confinement() Confinement {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.jail == nil {
		return Confinement{}
	}
	return d.jail.confinement()
}

var errSandboxRequired = errors.New("the sandbox is required, and this machine does not allow all of it")

// openJail finds out what is possible, says so once, and fails if that is less than what is required.
func (d *Driver) openJail(ctx context.Context) (*jail, error) {
	if d.sandbox == SandboxOff {
		d.logger.WarnContext(ctx, "pods are not confined: the sandbox is off")
		return unconfined(), nil
	}
	j, err := newJail(d.dir, d.hidden)
	if err != nil {
		return nil, fmt.Errorf("prepare the sandbox: %w", err)
	}
	found := j.confinement()
	if len(found.Missing) == 0 {
		d.logger.InfoContext(ctx, "pods are confined", slog.String("by", strings.Join(found.Applied, "; ")))
		return j, nil
	}
	if d.sandbox == SandboxRequired {
		return nil, errors.Join(fmt.Errorf("%w: %s", errSandboxRequired, strings.Join(found.Missing, "; ")), j.close())
	}
	d.logger.WarnContext(ctx, "pods are confined only as far as this machine allows",
		slog.String("by", strings.Join(found.Applied, "; ")), slog.String("missing", strings.Join(found.Missing, "; ")))
	return j, nil
}
