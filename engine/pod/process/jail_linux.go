package process

import (
	"os/exec"
	"syscall"

	"dodil.io/ignite/engine/pod"
)

// jail is what all pods of a driver have in common of their confinement.
type jail struct{ off bool }

func newJail(dir string, hidden []string) (*jail, error) { return &jail{}, nil }

func unconfined() *jail { return &jail{off: true} }

func (j *jail) confinement() Confinement { return Confinement{} }

func (*jail) close() error { return nil }

// confine makes what the pod of spec needs for itself. It is given back by remove.
func (*jail) confine(_ pod.Spec, h home) (*confinement, error) { return &confinement{home: h}, nil }

// confinement is what one pod can see, reach and use.
type confinement struct{ home home }

// homeDir and tempDir are what the pod knows its folders by.
func (c *confinement) homeDir() string { return c.home.homeDir() }

func (c *confinement) tempDir() string { return c.home.tempDir() }

// isInit reports whether the pod's program is the first process of a PID namespace.
func (*confinement) isInit() bool { return false }

func (*confinement) attributes() *syscall.SysProcAttr { return ownGroup() }

// start confines the calling thread, which must be nobody else's and end with the program, and starts cmd from it.
func (*confinement) start(cmd *exec.Cmd) error { return cmd.Start() }

// entry is what start does, for a process that is forked elsewhere. Its files are the caller's to close.
func (*confinement) entry() (entry, error) { return entry{}, nil }

// outOfMemory reports whether the kernel has killed anything of the pod because it wanted more memory than it may have.
func (*confinement) outOfMemory() bool { return false }

// remove gives back what confine made. Nothing of the pod runs any longer.
func (*confinement) remove() error { return nil }
