// Package pod says what a pod is, what a driver promises, and how either fails.
package pod

import (
	"context"
	"net/url"
	"time"
)

// Spec is everything a driver needs to start one pod.
type Spec struct {
	// Name is unique among the pods of this machine and names it in logs: "<app>-<version>-<random>".
	Name string
	// Org, App and Version say whose it is.
	Org, App string
	Version  uint32
	// Dir holds the unpacked code. The driver does not write there and other pods of the version share it.
	Dir string
	// Command is what to run, argument by argument, with Dir as its working directory.
	Command []string
	// ReadOnly are files and folders of the machine that Command needs beside Dir and what is installed where its program is; a driver that
	// hides the machine from pods shows them.
	ReadOnly []string
	// Image is what a container is made of; a pod that is a process has none. When Dir is set too, the image is built from it if the
	// machine does not have it, with Dockerfile.
	Image, Dockerfile string
	// Template, if there is one, is a warm parent that can become this pod faster than Command could be started; a driver that knows no
	// templates runs Command.
	Template *Template
	// Ports are those that the app declares; the first is the primary. Empty means one, 80.
	Ports []uint32
	// Env is added to the few variables that a driver sets (PATH, HOME, TMPDIR, PORT).
	Env map[string]string
	// SocketActivation: the program takes its listening socket as file descriptor 3 (LISTEN_FDS), so calls
	// queue in the kernel from the first moment. Otherwise it binds $PORT itself and is probed.
	SocketActivation bool
	// HealthPath answers 2xx once the pod is ready; empty means that accepting a connection is enough.
	HealthPath string
	// HealthOptional says that HealthPath is a guess: a program that has nothing there is ready when it answers at all, unless
	// with 503.
	HealthOptional bool
	// MemoryMB and CPUMillicores are limits, 0 for none.
	MemoryMB, CPUMillicores uint32
	// StopGrace is the time between TERM and KILL; 0 means 10 seconds.
	StopGrace time.Duration
}

// Template is a program that waits with everything loaded that its pods have in common, and forks one whenever it is asked. It runs
// none of the app's code before the fork, so that pods of all apps may come from one.
type Template struct {
	// Name tells templates apart: those of one name are the same program.
	Name string
	// Command starts the parent; it finds the socket of its orders as descriptor 3.
	Command []string
	Env     map[string]string
}

// Driver starts pods on one kind of machine. Its methods may be called concurrently.
type Driver interface {
	// Start returns once the pod is ready to take a call. It fails at once, with a *StartError that carries the last
	// log lines, when the program exits or cannot be started, and with ctx's cause when ctx ends first; then nothing is left running.
	Start(ctx context.Context, spec Spec) (Pod, error)
	// Close stops every pod that is left and returns when they are gone.
	Close(ctx context.Context) error
}

// Pod is a running instance of one version of an app. Its methods may be called concurrently.
type Pod interface {
	Name() string
	// Addr is where it serves HTTP on its primary port: scheme http and a host.
	Addr() *url.URL
	// AddrOf is where it serves one of the Spec's Ports; nil for any other.
	AddrOf(port uint32) *url.URL
	// Done is closed when it has exited, for whatever reason.
	Done() <-chan struct{}
	// Err says why after Done: nil after Stop, else an *ExitError with the last log lines.
	Err() error
	// Logs answers the last lines that it wrote, oldest first.
	Logs() []string
	// Stop asks it to end, kills it after the grace, and returns when it and its children are gone. Repeating it is fine.
	Stop(ctx context.Context) error
}

// Freezer is a Pod that can be stopped in its tracks. Connections made meanwhile wait in the kernel.
type Freezer interface {
	Freeze(ctx context.Context) error
	// Thaw lets it go on; it takes calls when Thaw returns.
	Thaw(ctx context.Context) error
	// MemoryBytes is what it holds.
	MemoryBytes() (int64, error)
}

// Target is a pod with a free slot, as a dispatcher hands it out.
type Target struct {
	Addr *url.URL
	// AddrOf answers where one of the app's declared ports is served; nil for any other.
	AddrOf func(port uint32) *url.URL
	// Pod names it in logs.
	Pod string
	// Version is the app's version that it runs.
	Version uint32
	// Waited is how long the call waited for it: in the queue for a slot and through a cold start.
	Waited time.Duration
	// Cold says that a pod had to be started for the call or was being started.
	Cold bool
	// OutOfService is closed when the pod must not be used any longer: it died or its drain time is over.
	OutOfService <-chan struct{}
}
