package process

import "os"

// entry is how a process that a template has forked gets into its confinement: the steps in their order, and the files that they
// name by index. A program that the driver starts itself is confined before it runs and needs none.
type entry struct {
	Steps []step
	Files []*os.File
}

// step is one of them; exactly one field is set.
type step struct {
	// NewPID makes the parent's fork the first process of a PID namespace of its own. It comes first.
	NewPID bool `json:"new_pid,omitempty"`
	// Join writes "0" to the file, a cgroup's list of processes.
	Join *int `json:"join,omitempty"`
	// SetNS enters the namespace that the file is. One of mounts brings its root with it.
	SetNS *int `json:"set_ns,omitempty"`
	// User becomes the user and group of that number, without supplementary groups.
	User int `json:"user,omitempty"`
	// NoNewPrivileges can never be taken back.
	NoNewPrivileges bool `json:"no_new_privileges,omitempty"`
	// Landlock restricts by the rule set that the file is.
	Landlock *int `json:"landlock,omitempty"`
	// Seccomp is a filter program, as the kernel takes it. It comes last.
	Seccomp []byte `json:"seccomp,omitempty"`
}
