// Package process runs pods as process groups of this machine.
//
// A pod is its program and all that the program starts in its process group. It has a private folder for HOME and TMPDIR, shares the
// code's folder with other pods, and gets nothing of the server's environment but PATH. When its program exits, for whatever reason, what is left
// of it is killed. Pods do not outlive the server: one that is killed takes its programs with it on Linux (a parent-death signal),
// and the next to open the same folder kills what they had started.
//
// A pod that takes its socket from us (Spec.SocketActivation) is ready when it has been started: the kernel queues its calls, and
// refuses them once it has exited, because no other process keeps the socket. On Linux it is forked from a warm parent if it has one
// (Spec.Template, and the package template), and is in every other way what a plain start makes of it.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/probe"
)

// Options say where a Driver works.
type Options struct {
	// Dir is a folder of the driver's own: pods' homes and what is needed to find them after a crash.
	Dir string
	// ListenLimit is how long a program may take until something listens on its port; 0 means 60 s. What listens may take longer to
	// become healthy: then it is the caller's context that ends the start.
	ListenLimit time.Duration
	// Sandbox is SandboxAuto if it is empty.
	Sandbox Sandbox
	// Hidden are files and folders that no pod gets to see, whatever else it sees: where the server keeps its data.
	Hidden []string
	// Logger hears of pods that had to be killed; nil is slog.Default().
	Logger *slog.Logger
}

// Driver starts processes. It is a pod.Driver.
type Driver struct {
	dir      string
	patience time.Duration // Options.ListenLimit
	sandbox  Sandbox
	hidden   []string
	logger   *slog.Logger
	ports    ports
	starts   sync.WaitGroup
	// templates are the warm parents; Close ends them after the last pod.
	templates *templates

	mu     sync.Mutex
	lock   *os.File // held from Open to Close
	jail   *jail    // from Open on
	closed bool
	pods   map[*process]struct{}
}

var (
	errNotOpen = errors.New("the driver is not open")
	errClosed  = errors.New("the driver is closed")
)

// New checks options; it does no I/O.
func New(options Options) (*Driver, error) {
	if options.Dir == "" {
		return nil, errors.New("process driver: Dir is empty")
	}
	sandbox := cmp.Or(options.Sandbox, SandboxAuto)
	if sandbox != SandboxAuto && sandbox != SandboxRequired && sandbox != SandboxOff {
		return nil, fmt.Errorf("process driver: there is no sandbox %q", sandbox)
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("process driver: Dir: %w", err)
	}
	logger := options.Logger
	if logger == nil {
		logger = slog.Default()
	}
	return &Driver{
		dir:      dir,
		patience: cmp.Or(options.ListenLimit, probe.DefaultListenLimit),
		sandbox:  sandbox,
		hidden:   options.Hidden,
		logger:   logger,
		ports:    ports{taken: make(map[int]io.Closer)},
		pods:     make(map[*process]struct{}),

		templates: newTemplates(dir, logger),
	}, nil
}

// Open makes the folder the driver's own, kills what a server that was killed left behind there, and lets pods be started.
// A folder that another driver has open is an error.
func (d *Driver) Open(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock != nil || d.closed {
		return errors.New("open process driver: it was opened before")
	}
	lock, err := lockFolder(d.dir)
	if err != nil {
		return fmt.Errorf("open process driver: %w", err)
	}
	jail, err := d.openJail(ctx)
	if err == nil {
		jail.removeLeftovers(ctx, d.logger)
		if err = d.removeLeftovers(ctx); err != nil {
			err = errors.Join(err, jail.close())
		}
	}
	if err != nil {
		lock.Close()
		return fmt.Errorf("open process driver: %w", err)
	}
	d.lock, d.jail = lock, jail
	return nil
}

// Start returns once the pod is ready, as pod.Driver says. A pod that is still starting when the driver is closed fails.
func (d *Driver) Start(ctx context.Context, spec pod.Spec) (pod.Pod, error) {
	if err := d.enter(ctx); err != nil {
		return nil, &pod.StartError{Pod: spec.Name, Reason: err.Error(), Err: err}
	}
	defer d.starts.Done()
	p, err := d.launch(spec)
	if err != nil {
		return nil, &pod.StartError{Pod: spec.Name, Reason: err.Error(), Err: err}
	}
	if err := p.awaitReady(ctx, d.patience); err != nil {
		p.kill()
		<-p.done
		return nil, p.startError(err)
	}
	return p, nil
}

// enter counts a start, which Close waits for, unless there is no sense in one.
func (d *Driver) enter(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return errClosed
	case d.lock == nil:
		return errNotOpen
	}
	d.starts.Add(1)
	return nil
}

// Close stops every pod that is left, those that are starting too, and returns when they are gone. When ctx ends before that,
// they are killed without the rest of their grace.
func (d *Driver) Close(ctx context.Context) error {
	var stopping sync.WaitGroup
	for _, p := range d.shut() {
		stopping.Go(func() {
			if err := p.Stop(ctx); err != nil {
				p.kill()
				<-p.done
			}
		})
	}
	stopping.Wait()
	d.starts.Wait()
	d.templates.close()
	return d.release()
}

// shut lets no more pods start and answers those that there are.
func (d *Driver) shut() []*process {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var left []*process
	for p := range d.pods {
		left = append(left, p)
	}
	return left
}

// release gives the folder and the jail back, once.
func (d *Driver) release() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	lock := d.lock
	d.lock = nil
	if err := errors.Join(d.jail.close(), lock.Close()); err != nil {
		return fmt.Errorf("close process driver: %w", err)
	}
	return nil
}

// keep counts p among the pods that Close stops; false says that it came too late for that.
func (d *Driver) keep(p *process) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pods[p] = struct{}{}
	return !d.closed
}

// forget is called when nothing of p is left.
func (d *Driver) forget(p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pods, p)
	d.giveBack(p.port, p.further)
}
