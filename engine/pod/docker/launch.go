package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	engine "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"dodil.io/ignite/engine/pod"
)

// launch starts the program of s and answers its pod, which may not be ready yet. After an error nothing is left.
func (d *Driver) launch(ctx context.Context, s pod.Spec) (*container, error) {
	image, err := d.imageFor(ctx, s)
	if err != nil {
		return nil, err
	}
	id, err := d.create(ctx, s, image)
	if err != nil {
		return nil, err
	}
	c := newContainer(d, s, id, cmp.Or(image.StopSignal, "SIGTERM"))
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.discard())
	}
	if !d.keep(c) {
		c.kill()
		<-c.done
		return nil, errClosed
	}
	return c, nil
}

// start runs the container. If it cannot, nothing watches it.
func (c *container) start(ctx context.Context) error {
	// Both must be there before the start, so that nothing is missed, and stay for as long as the program runs.
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	hangs := time.AfterFunc(cleanupLimit, stopWatching)
	defer hangs.Stop()
	output, err := c.driver.api.ContainerAttach(watching, c.id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		stopWatching()
		return fmt.Errorf("attach to container: %w", err)
	}
	exit := c.driver.api.ContainerWait(watching, c.id, client.ContainerWaitOptions{Condition: engine.WaitConditionNextExit})
	hangs.Stop()
	w := watch{exit: exit, output: output.HijackedResponse, stop: stopWatching}
	if err := c.run(ctx); err != nil {
		w.close()
		return err
	}
	c.driver.removals.Add(1)
	go c.attend(w)
	return nil
}

// run returns once the container runs and has its address, or has exited already. It takes as long as the engine takes, whatever becomes
// of ctx: a start that is given up halfway leaves it open whether there is something to stop.
func (c *container) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
	defer cancel()
	if _, err := c.driver.api.ContainerStart(ctx, c.id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("start container: %w", err)
	}
	return c.locate(ctx)
}

// discard removes a container that nothing watches.
func (c *container) discard() error {
	ctx, cancel := cleanup()
	defer cancel()
	return c.driver.remove(ctx, c.id)
}

// watch is how the end of a container is learned, and what it writes.
type watch struct {
	exit   client.ContainerWaitResult
	output client.HijackedResponse
	stop   context.CancelFunc
}

// close ends both requests, and lets the goroutine of the first go.
func (w watch) close() {
	w.output.Close()
	w.stop()
	_, _ = w.ended() // what it says is our own doing
}

// ended returns when the container has exited, or is not told of any longer.
func (w watch) ended() (engine.WaitResponse, error) {
	select {
	case response := <-w.exit.Result:
		return response, nil
	case err := <-w.exit.Error:
		return engine.WaitResponse{}, err
	}
}

// copyTo writes the output to log until it ends, and closes copied.
func (w watch) copyTo(log io.Writer, copied chan<- struct{}) {
	defer close(copied)
	_, _ = stdcopy.StdCopy(log, log, w.output.Reader) // ends with the container or by close; what came is kept either way
}
