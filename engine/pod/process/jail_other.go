//go:build !linux

package process

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"syscall"

	"dodil.io/ignite/engine/pod"
)

// jail confines nothing: there is no sandbox of ours for this system.
type jail struct{ off bool }

func newJail(string, []string) (*jail, error) { return &jail{}, nil }

func unconfined() *jail { return &jail{off: true} }

func (j *jail) confinement() Confinement {
	if j.off {
		return Confinement{}
	}
	return Confinement{Missing: []string{"everything: pods are confined on Linux only"}}
}

func (*jail) close() error { return nil }

func (*jail) removeLeftovers(context.Context, *slog.Logger) {}

func (*jail) confine(_ pod.Spec, h home) (*confinement, error) { return &confinement{home: h}, nil }

// confinement has only the folders of its pod.
type confinement struct{ home home }

func (c *confinement) homeDir() string { return c.home.homeDir() }

func (c *confinement) tempDir() string { return c.home.tempDir() }

func (*confinement) isInit() bool { return false }

func (*confinement) endsWhole() bool { return false }

func (*confinement) attributes() *syscall.SysProcAttr { return ownGroup() }

func (*confinement) start(cmd *exec.Cmd) error { return cmd.Start() }

func (*confinement) entry() (entry, error) { return entry{}, nil }

func (*confinement) outOfMemory() bool { return false }

func (*confinement) freezer() freezer { return nil }

func (*confinement) memoryBytes(int) (int64, error) { return 0, errors.ErrUnsupported }

func (*confinement) remove() error { return nil }
