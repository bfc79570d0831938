package process

import "syscall"

// program is the first process of a pod: one that the driver has started itself, or one that a template has forked.
type program interface {
	pid() int
	// wait returns when it has exited and what it wrote was read, and says how it ended. It calls ended when it has exited, but
	// before anybody else can have its process id.
	wait(ended func()) (reason string)
	// signal reaches its whole group; it must not be called once ended has returned.
	signal(s syscall.Signal)
}
