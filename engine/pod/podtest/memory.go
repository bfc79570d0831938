package podtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
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

	mu       sync.Mutex
	pods     map[*MemoryPod]struct{}
	starting map[*MemoryPod]context.CancelCauseFunc
	started  int
	closed   bool
}

// NewLoopback makes a driver whose pods listen on 127.0.0.1, so any client reaches them.
func NewLoopback(program Program) *Memory {
	return newMemory(program, listenLoopback, new(net.Dialer).DialContext)
}

// NewPipe makes a driver whose pods are reached only by its Client, over net.Pipe: what happens between them is
// inside a testing/synctest bubble.
func NewPipe(program Program) *Memory {
	network := &pipeNetwork{listeners: make(map[string]*pipeListener)}
	return newMemory(program, network.listen, network.dial)
}

func newMemory(program Program, listen func() (net.Listener, string, error), dial pod.Dial) *Memory {
	return &Memory{
		program:  program,
		listen:   listen,
		dial:     dial,
		pods:     make(map[*MemoryPod]struct{}),
		starting: make(map[*MemoryPod]context.CancelCauseFunc),
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

// Start runs the program, serves the handler that it answers, and asks that at the Spec's health path if there is one.
func (m *Memory) Start(ctx context.Context, spec pod.Spec) (pod.Pod, error) {
	p := newMemoryPod(spec)
	ctx, leave, err := m.enter(ctx, p)
	if err != nil {
		return nil, startError(p, err)
	}
	defer leave()
	handler, err := m.program(context.WithValue(ctx, podKey{}, p), spec)
	if err == nil {
		err = m.serve(p, handler)
	}
	if err != nil {
		close(p.done)
		return nil, startError(p, err)
	}
	if err := p.awaitReady(ctx, m.dial); err != nil {
		p.Crash(err.Error())
		return nil, startError(p, err)
	}
	return p, nil
}

// enter counts a start and says when it is over. Its context ends with ctx or with the driver.
func (m *Memory) enter(ctx context.Context, p *MemoryPod) (starting context.Context, leave func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.started++
	if m.closed {
		return nil, nil, errClosed
	}
	if err := context.Cause(ctx); err != nil {
		return nil, nil, err
	}
	starting, giveUp := context.WithCancelCause(ctx)
	m.starting[p] = giveUp
	return starting, func() { m.leave(p) }, nil
}

func (m *Memory) leave(p *MemoryPod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starting[p](nil)
	delete(m.starting, p)
}

var errClosed = errors.New("the driver is closed")

func startError(p *MemoryPod, err error) error {
	if startError, ok := errors.AsType[*pod.StartError](err); ok {
		return startError
	}
	return &pod.StartError{Pod: p.spec.Name, Reason: err.Error(), Log: p.Logs(), Err: err}
}

func (m *Memory) serve(p *MemoryPod, handler http.Handler) error {
	listener, address, err := m.listen()
	if err != nil {
		return fmt.Errorf("listen for pod %s: %w", p.spec.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		listener.Close()
		return errClosed
	}
	p.addr, p.server = &url.URL{Scheme: "http", Host: address}, &http.Server{Handler: handler}
	m.pods[p] = struct{}{}
	go func() {
		p.run(listener)
		m.forget(p)
		close(p.done)
	}()
	return nil
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

// Close stops every pod that is left and gives up the starts that are under way; no more are started.
func (m *Memory) Close(ctx context.Context) error {
	m.shut()
	var stopping sync.WaitGroup
	for _, p := range m.Running() {
		stopping.Go(func() { _ = p.Stop(ctx) }) // whose only error is ctx's
	}
	stopping.Wait()
	return context.Cause(ctx)
}

func (m *Memory) shut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, giveUp := range m.starting {
		giveUp(errClosed)
	}
}
