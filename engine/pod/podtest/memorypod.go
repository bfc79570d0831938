package podtest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/logs"
	"dodil.io/ignite/engine/pod/probe"
)

// defaultPort is that of an app that declares none.
const defaultPort = 80

// MemoryPod is a pod of a Memory driver.
type MemoryPod struct {
	spec pod.Spec
	log  logs.Tail
	// addr and server are there once it serves.
	addr   *url.URL
	server *http.Server
	// end tells run to stop serving, with nil for a stop and the reason for a crash; only the first counts.
	end  chan error
	done chan struct{}

	mu  sync.Mutex
	err error
}

func newMemoryPod(spec pod.Spec) *MemoryPod {
	return &MemoryPod{spec: spec, end: make(chan error, 1), done: make(chan struct{})}
}

type podKey struct{}

// PodOf answers the pod that a Program is run for, from the context that it is given.
func PodOf(ctx context.Context) *MemoryPod {
	p, _ := ctx.Value(podKey{}).(*MemoryPod)
	return p
}

// run serves until the pod is stopped or crashes, and returns when everything of it is gone but handlers that ignore the end of
// their request's context.
func (p *MemoryPod) run(listener net.Listener) {
	var serving sync.WaitGroup
	serving.Go(func() { _ = p.server.Serve(listener) }) // ends with http.ErrServerClosed, by our own doing
	err := <-p.end
	if err == nil {
		p.drain()
	}
	_ = p.server.Close() // the connections' own errors; they are gone either way
	serving.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// awaitReady asks at the health path, if there is one.
func (p *MemoryPod) awaitReady(ctx context.Context, dial pod.Dial) error {
	return probe.Pod{
		Addr:           p.addr,
		HealthPath:     p.spec.HealthPath,
		HealthOptional: p.spec.HealthOptional,
		Queued:         true,
		Exited:         p.done,
		Dial:           dial,
		ListenLimit:    probe.DefaultListenLimit,
	}.Await(ctx)
}

// AddrOf answers the one address for every port of the Spec.
func (p *MemoryPod) AddrOf(port uint32) *url.URL {
	if port == defaultPort && len(p.spec.Ports) == 0 || slices.Contains(p.spec.Ports, port) {
		return p.addr
	}
	return nil
}

func (p *MemoryPod) drain() {
	grace := cmp.Or(p.spec.StopGrace, 10*time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = p.server.Shutdown(ctx) // what is left after the grace is closed by the caller
}

// Name is the Spec's.
func (p *MemoryPod) Name() string { return p.spec.Name }

// Spec is what the pod was started with.
func (p *MemoryPod) Spec() pod.Spec { return p.spec }

// Addr is where it serves.
func (p *MemoryPod) Addr() *url.URL { return p.addr }

// Done is closed when it has stopped or crashed.
func (p *MemoryPod) Done() <-chan struct{} { return p.done }

// Err is nil after Stop and an *pod.ExitError after Crash.
func (p *MemoryPod) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Logf writes a line to the pod's log.
func (p *MemoryPod) Logf(format string, args ...any) {
	fmt.Fprintf(&p.log, format+"\n", args...)
}

// Logs answers the last lines of Logf.
func (p *MemoryPod) Logs() []string { return p.log.Lines() }

// Stop lets calls finish within the spec's grace.
func (p *MemoryPod) Stop(ctx context.Context) error {
	p.finish(nil)
	return p.gone(ctx)
}

// Crash ends the pod in the middle of whatever it does and returns when it is gone.
func (p *MemoryPod) Crash(reason string) {
	p.finish(&pod.ExitError{Pod: p.spec.Name, Reason: reason, Log: p.Logs()})
	<-p.done
}

func (p *MemoryPod) finish(err error) {
	select {
	case p.end <- err:
	default: // it is ending already
	}
}

// gone waits for the end of the pod, or of ctx: one that has ended before wins, so that the answer does not depend on who is quicker.
func (p *MemoryPod) gone(ctx context.Context) error {
	if ctx.Err() == nil {
		select {
		case <-p.done:
			return nil
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("stop pod %s: %w", p.spec.Name, context.Cause(ctx))
}
