package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/probe"
)

// cleanupLimit bounds what is asked of the engine whoever has given up: starts, signals, removals, and how a container ended.
const cleanupLimit = time.Minute

// Options say which engine a Driver uses.
type Options struct {
	// Host is the engine's address, such as unix:///var/run/docker.sock. It must be on this machine: pods are called at their
	// containers' addresses.
	Host string
	// Dir is a folder of the driver's own, which no other process uses. It names the installation.
	Dir string
	// ListenLimit is how long a program may take until something listens on its port; 0 means 60 s.
	ListenLimit time.Duration
	// Logger hears of what had to be removed or killed; nil is slog.Default().
	Logger *slog.Logger
}

// Driver starts containers. It is a pod.Driver.
type Driver struct {
	api      *client.Client
	options  Options
	logger   *slog.Logger
	images   claims
	starts   sync.WaitGroup
	removals sync.WaitGroup

	// These are set by Open.
	installation string
	network      string
	processors   int

	mu     sync.Mutex
	opened bool
	closed bool
	pods   map[*container]struct{}
}

var (
	errNotOpen = errors.New("the driver is not open")
	errClosed  = errors.New("the driver is closed")
)

// New checks options; it does no I/O.
func New(options Options) (*Driver, error) {
	if options.Dir == "" {
		return nil, errors.New("docker driver: Dir is empty")
	}
	if options.Host == "" {
		return nil, errors.New("docker driver: Host is empty")
	}
	api, err := client.New(client.WithHost(options.Host))
	if err != nil {
		return nil, fmt.Errorf("docker driver: Host %s: %w", options.Host, err)
	}
	options.ListenLimit = cmp.Or(options.ListenLimit, probe.DefaultListenLimit)
	logger := options.Logger
	if logger == nil {
		logger = slog.Default()
	}
	return &Driver{api: api, options: options, logger: logger, pods: make(map[*container]struct{})}, nil
}

// Open asks whether the engine is there, removes the containers that a server which was killed left in it, and lets pods be started.
func (d *Driver) Open(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opened || d.closed {
		return errors.New("open docker driver: it was opened before")
	}
	if err := d.open(ctx); err != nil {
		return fmt.Errorf("open docker driver: %w", err)
	}
	d.opened = true
	return nil
}

func (d *Driver) open(ctx context.Context) (err error) {
	if d.installation, err = installation(d.options.Dir); err != nil {
		return err
	}
	engine, err := d.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return fmt.Errorf("reach the Docker engine at %s: %w", d.options.Host, err)
	}
	d.processors = engine.Info.NCPU
	if err := d.removeLeftovers(ctx); err != nil {
		return err
	}
	d.network, err = d.openNetwork(ctx)
	return err
}

// Start returns once the pod is ready, as pod.Driver says. A pod that is still starting when the driver is closed fails.
func (d *Driver) Start(ctx context.Context, spec pod.Spec) (pod.Pod, error) {
	if err := d.enter(ctx); err != nil {
		return nil, &pod.StartError{Pod: spec.Name, Reason: err.Error(), Err: err}
	}
	defer d.starts.Done()
	c, err := d.launch(ctx, spec)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return nil, &pod.StartError{Pod: spec.Name, Reason: err.Error(), Err: err}
	}
	if err := c.awaitReady(ctx, d.options.ListenLimit); err != nil {
		c.kill()
		<-c.done
		return nil, c.startError(err)
	}
	return c, nil
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
	case !d.opened:
		return errNotOpen
	}
	d.starts.Add(1)
	return nil
}

// Close stops every pod that is left, those that are starting too, and returns when they are gone from the engine. When ctx ends
// before that, they are killed without the rest of their grace.
func (d *Driver) Close(ctx context.Context) error {
	var stopping sync.WaitGroup
	for _, c := range d.shut() {
		stopping.Go(func() {
			if err := c.Stop(ctx); err != nil {
				c.kill()
				<-c.done
			}
		})
	}
	stopping.Wait()
	d.starts.Wait()
	d.removals.Wait()
	return d.release()
}

// shut lets no more pods start and answers those that there are.
func (d *Driver) shut() []*container {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var left []*container
	for c := range d.pods {
		left = append(left, c)
	}
	return left
}

// release gives the network and the connections back, once.
func (d *Driver) release() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.opened {
		return nil
	}
	d.opened = false
	ctx, cancel := cleanup()
	defer cancel()
	if _, err := d.api.NetworkRemove(ctx, d.network, client.NetworkRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
		d.logger.WarnContext(ctx, "the network of pods is left behind for the next start", slog.Any("error", err))
	}
	if err := d.api.Close(); err != nil {
		return fmt.Errorf("close docker driver: %w", err)
	}
	return nil
}

// keep counts c among the pods that Close stops; false says that it came too late for that.
func (d *Driver) keep(c *container) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.pods[c] = struct{}{}
	return true
}

// forget is called when c has ended.
func (d *Driver) forget(c *container) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pods, c)
}

// cleanup is the context of what must be tried whoever has given up.
func cleanup() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), cleanupLimit)
}
