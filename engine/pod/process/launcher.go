package process

import (
	"os/exec"
	"runtime"
)

// launcher starts all programs from one operating system thread that lives as long as the driver is open. Linux sends the parent-death
// signal when the thread that started a program ends, not the process; from any goroutine's thread a pod would die at a moment's whim.
type launcher struct {
	requests chan launchRequest
	stopped  chan struct{}
}

type launchRequest struct {
	command *exec.Cmd
	result  chan error
}

func newLauncher() launcher {
	return launcher{requests: make(chan launchRequest), stopped: make(chan struct{})}
}

// run is the thread; it ends with stop.
func (l launcher) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(l.stopped)
	for request := range l.requests {
		request.result <- request.command.Start()
	}
}

// start starts command. It must not be called after stop.
func (l launcher) start(command *exec.Cmd) error {
	result := make(chan error, 1)
	l.requests <- launchRequest{command, result}
	return <-result
}

func (l launcher) stop() {
	close(l.requests)
	<-l.stopped
}
