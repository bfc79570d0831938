package podtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"

	"dodil.io/ignite/engine/pod"
)

// Program is what a pod of a Memory driver runs: it answers the handler that serves the pod's calls. It may take its time, which
// is the cold start, and should give up when ctx ends. An error is a failed start: a *pod.StartError as it is, any other as its Err.
type Program func(ctx context.Context, spec pod.Spec) (http.Handler, error)

// Serving is the program that is ready at once.
func Serving(handler http.Handler) Program {
	return func(context.Context, pod.Spec) (http.Handler, error) { return handler, nil }
}

// Memory is a pod.Driver whose pods are handlers in this process.
type Memory struct {
	program Program
	listen  func() (net.Listener, string, error)
	dial    pod.Dial

	mu      sync.Mutex
	pods    map[*MemoryPod]struct{}
	started int
	closed  bool
}

// NewLoopback makes a driver whose pods listen on 127.0.0.1, so any client reaches them.
func NewLoopback(program Program) *Memory {
	return &Memory{
		program: program,
		listen:  listenLoopback,
		dial:    new(net.Dialer).DialContext,
		pods:    make(map[*MemoryPod]struct{}),
	}
}

// NewPipe makes a driver whose pods are reached only by its Client, over net.Pipe: what happens between them is
// inside a testing/synctest bubble.
func NewPipe(program Program) *Memory {
	network := &pipeNetwork{listeners: make(map[string]*pipeListener)}
	return &Memory{
		program: program,
		listen:  network.listen,
		dial:    network.dial,
		pods:    make(map[*MemoryPod]struct{}),
	}
}

func listenLoopback() (net.Listener, string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	return listener, listener.Addr().String(), nil
}

// Client makes a client that reaches the driver's pods; the caller closes it.
func (m *Memory) Client() *pod.Client { return pod.NewClientDialing(m.dial) }

// Start runs the program and serves the handler that it answers.
func (m *Memory) Start(ctx context.Context, spec pod.Spec) (pod.Pod, error) {
	m.mu.Lock()
	m.started++
	closed := m.closed
	m.mu.Unlock()
	if closed {
		return nil, &pod.StartError{Pod: spec.Name, Reason: "the driver is closed"}
	}
	handler, err := m.program(ctx, spec)
	if err != nil {
		return nil, startError(spec, err)
	}
	return m.serve(spec, handler)
}

func startError(spec pod.Spec, err error) error {
	if startError, ok := errors.AsType[*pod.StartError](err); ok {
		return startError
	}
	return &pod.StartError{Pod: spec.Name, Reason: err.Error(), Err: err}
}

func (m *Memory) serve(spec pod.Spec, handler http.Handler) (pod.Pod, error) {
	listener, address, err := m.listen()
	if err != nil {
		return nil, fmt.Errorf("listen for pod %s: %w", spec.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		listener.Close()
		return nil, &pod.StartError{Pod: spec.Name, Reason: "the driver is closed"}
	}
	p := newMemoryPod(spec, address, handler, m.forget)
	m.pods[p] = struct{}{}
	go p.run(listener)
	return p, nil
}

func (m *Memory) forget(p *MemoryPod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pods, p)
}

// Started counts the calls of Start, also those that failed.
func (m *Memory) Started() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.started
}

// Running answers the pods that are up, in no order.
func (m *Memory) Running() []*MemoryPod {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.pods))
}

// Close stops every pod that is left; no more are started.
func (m *Memory) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	var stopping sync.WaitGroup
	for _, p := range m.Running() {
		stopping.Go(func() { _ = p.Stop(ctx) }) // whose only error is ctx's
	}
	stopping.Wait()
	return context.Cause(ctx)
}
