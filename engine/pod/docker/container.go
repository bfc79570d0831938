package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/logs"
	"dodil.io/ignite/engine/pod/probe"
)

// container is a pod.Pod and a pod.Freezer.
type container struct {
	driver *Driver
	spec   pod.Spec
	id     string
	addr   *url.URL // nil if it had exited before it could be asked for
	log    *logs.Tail
	logger *slog.Logger
	// stopSignal asks the program to end.
	stopSignal string

	exited chan struct{}  // the program has exited
	done   chan struct{}  // and it is known how
	ending sync.WaitGroup // what Stop has begun

	mu       sync.Mutex
	frozen   bool
	stopping bool
	stopped  bool // it was asked to end before it did
	reason   string
	err      error
}

func newContainer(d *Driver, s pod.Spec, id, stopSignal string) *container {
	return &container{
		driver:     d,
		spec:       s,
		id:         id,
		log:        new(logs.Tail),
		logger:     d.logger.With(slog.String("pod", s.Name), slog.String("app", s.Org+"/"+s.App), slog.Uint64("version", uint64(s.Version))),
		stopSignal: stopSignal,
		exited:     make(chan struct{}),
		done:       make(chan struct{}),
	}
}

// awaitReady returns nil once the pod takes calls.
func (c *container) awaitReady(ctx context.Context, listenLimit time.Duration) error {
	if c.addr == nil {
		<-c.exited
		return probe.ErrExited
	}
	return probe.Pod{
		Addr:           c.addr,
		HealthPath:     c.spec.HealthPath,
		HealthOptional: c.spec.HealthOptional,
		Exited:         c.exited,
		ListenLimit:    listenLimit,
	}.Await(ctx)
}

// locate learns the container's address, which it has for as long as it runs.
func (c *container) locate(ctx context.Context) error {
	found, err := c.driver.api.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
	if err != nil {
		return fmt.Errorf("ask for the address: %w", err)
	}
	for _, network := range found.Container.NetworkSettings.Networks {
		if network.NetworkID == c.driver.network && network.IPAddress.IsValid() {
			c.addr = address(network.IPAddress, primary(c.spec))
			return nil
		}
	}
	if !found.Container.State.Running {
		return nil
	}
	return errors.New("ask for the address: it has none in the network of pods")
}

func address(ip netip.Addr, port uint32) *url.URL {
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(ip.String(), strconv.FormatUint(uint64(port), 10))}
}

// Name is the Spec's.
func (c *container) Name() string { return c.spec.Name }

// Addr is at the container's own address.
func (c *container) Addr() *url.URL { return c.addr }

// AddrOf is at the container's own address for each of the Spec's ports.
func (c *container) AddrOf(port uint32) *url.URL {
	if port != primary(c.spec) && !slices.Contains(c.spec.Ports, port) {
		return nil
	}
	return &url.URL{Scheme: c.addr.Scheme, Host: net.JoinHostPort(c.addr.Hostname(), strconv.FormatUint(uint64(port), 10))}
}

// Done is closed when the program has exited, which takes everything else in the container with it.
func (c *container) Done() <-chan struct{} { return c.done }

// Err is nil before Done, and after Stop.
func (c *container) Err() error {
	select {
	case <-c.done:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Logs answers the last lines of its standard output and error. Lines of the one are in order; between the two the engine mixes them up
// when they come at the same moment.
func (c *container) Logs() []string { return c.log.Lines() }
