package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"syscall"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/logs"
	"dodil.io/ignite/engine/pod/probe"
)

const (
	defaultGrace = 10 * time.Second
	// goneLimit bounds the wait for processes that were killed; only one stuck in the kernel takes longer.
	goneLimit = 5 * time.Second
)

// process is a pod.Pod.
type process struct {
	spec    pod.Spec
	addr    *url.URL
	port    int
	further map[uint32]int // the local ports of the Spec's Ports behind the first
	home    home
	limits  *confinement
	program program
	log     *logs.Tail
	logger  *slog.Logger
	forget  func(*process)

	exited chan struct{} // the program has exited
	done   chan struct{} // and nothing else is left

	mu       sync.Mutex
	reaped   bool // the process id may be somebody else's
	stopping bool
	stopped  bool // it was asked to end before it did
	killing  *time.Timer
	frozen   bool
	reason   string
	cause    error // pod.ErrOutOfMemory, if that was it
	err      error
}

// newProcess is a pod whose program is still to be started.
func newProcess(d *Driver, spec pod.Spec, h home, c *confinement, port int) *process {
	return &process{
		spec:   spec,
		addr:   &url.URL{Scheme: "http", Host: hostPort(port)},
		port:   port,
		home:   h,
		limits: c,
		log:    new(logs.Tail),
		logger: d.logger.With(slog.String("pod", spec.Name), slog.String("app", spec.Org+"/"+spec.App), slog.Uint64("version", uint64(spec.Version))),
		forget: d.forget,
		exited: make(chan struct{}),
		done:   make(chan struct{}),
	}
}

// run owns the process from its start until nothing is left of it.
func (p *process) run() {
	p.settle(p.program.wait(p.ended))
	p.clear()
	p.forget(p)
	close(p.done)
}

// ended is called while the exited program still holds its process id, so that the signal cannot go to strangers.
func (p *process) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal(syscall.SIGKILL)
	p.reaped = true
	p.stopped = p.stopping
	if p.killing != nil {
		p.killing.Stop()
	}
	close(p.exited)
}

// settle writes down how it ended.
func (p *process) settle(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reason = reason
	if p.limits.outOfMemory() {
		p.reason = fmt.Sprintf("out of memory: it wanted more than its limit of %d MB", p.spec.MemoryMB)
		p.cause = pod.ErrOutOfMemory
	}
	if !p.stopped {
		p.err = &pod.ExitError{Pod: p.spec.Name, Reason: p.reason, Log: p.log.Lines(), Err: p.cause}
	}
}

// clear waits for what the program had started, and removes its home.
func (p *process) clear() {
	if !p.limits.endsWhole() && !awaitGone(p.pid(), p.home, goneLimit) {
		p.logger.Warn("processes of a pod are still there after they were killed")
	}
	if err := p.limits.remove(); err != nil {
		p.logger.Warn("what confined a pod is left behind until the next start", slog.Any("error", err))
	}
	if err := p.home.remove(); err != nil {
		p.logger.Warn("the home of a pod is left behind until the next start", slog.Any("error", err))
	}
}

func (p *process) pid() int { return p.program.pid() }

// Name is the Spec's.
func (p *process) Name() string { return p.spec.Name }

// Addr is on 127.0.0.1.
func (p *process) Addr() *url.URL { return p.addr }

// AddrOf is on 127.0.0.1, too.
func (p *process) AddrOf(port uint32) *url.URL {
	if port == primaryPort(p.spec) {
		return p.addr
	}
	if local, ok := p.further[port]; ok {
		return &url.URL{Scheme: "http", Host: hostPort(local)}
	}
	return nil
}

// Done is closed when the program has exited and nothing that it started is left.
func (p *process) Done() <-chan struct{} { return p.done }

// Err is nil before Done, and after Stop.
func (p *process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Logs answers the last lines of its standard output and error, as they came.
func (p *process) Logs() []string { return p.log.Lines() }

// Stop sends TERM to the whole group and KILL after the grace, however early ctx ends.
func (p *process) Stop(ctx context.Context) error {
	p.ask()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop pod %s: %w", p.spec.Name, context.Cause(ctx))
	}
}

// ask begins the end, once.
func (p *process) ask() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping || p.reaped {
		return
	}
	p.stopping = true
	p.thaw()
	p.terminate()
	p.killing = time.AfterFunc(cmp.Or(p.spec.StopGrace, defaultGrace), func() {
		p.logger.Warn("a pod did not end within its grace and is killed")
		p.kill()
	})
}

// kill ends the group at once.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	p.thaw()
	p.signal(syscall.SIGKILL)
}

// signal reaches the whole group. The caller holds mu.
func (p *process) signal(s syscall.Signal) {
	if !p.reaped {
		p.program.signal(s)
	}
}

// startError says why it did not become ready; it has exited.
func (p *process) startError(cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	reason := cause.Error()
	if p.err != nil || errors.Is(cause, probe.ErrExited) {
		reason = p.reason + " before it was ready"
		cause = cmp.Or(p.cause, cause)
	}
	return &pod.StartError{Pod: p.spec.Name, Reason: reason, Log: p.log.Lines(), Err: cause}
}
