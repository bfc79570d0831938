package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/probe"
)

const (
	defaultGrace = 10 * time.Second
	// outputDelay is how long the last output of a program that has exited may take to arrive.
	outputDelay = 2 * time.Second
)

// attend owns the container from its start until it is gone from the engine.
func (c *container) attend(w watch) {
	defer c.driver.removals.Done()
	copied := make(chan struct{})
	go w.copyTo(c.log, copied)
	reason, err := c.await(w)
	c.ended()
	select {
	case <-copied:
	case <-time.After(outputDelay):
	}
	w.output.Close()
	w.stop()
	<-copied
	c.settle(reason, err)
	c.ending.Wait()
	c.driver.forget(c)
	close(c.done)
	if err := c.discard(); err != nil {
		c.logger.Warn("the container of a pod is left behind until the next start", slog.Any("error", err))
	}
}

// ended lets nothing more be begun with it.
func (c *container) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = c.stopping
	close(c.exited)
}

// await returns when the program has exited, with how in words and, if it is one that callers know, why. A container that the engine
// does not tell of any longer counts as gone, and is removed.
func (c *container) await(w watch) (reason string, err error) {
	response, err := w.ended()
	switch {
	case err != nil:
		if removeErr := c.discard(); removeErr != nil {
			c.logger.Warn("the engine is not there to remove a container that it does not tell of any longer", slog.Any("error", removeErr))
		}
		return "the engine does not tell of it any longer: " + err.Error(), nil
	case response.Error != nil:
		return response.Error.Message, nil
	}
	return c.exit(response.StatusCode)
}

// exit says how a program ended in words for the person whose program it is.
func (c *container) exit(code int64) (reason string, err error) {
	if c.outOfMemory() {
		return fmt.Sprintf("it was killed since it wanted more than its %d MB of memory", c.spec.MemoryMB), pod.ErrOutOfMemory
	}
	// What a shell makes of a signal, and the engine's init as well.
	if name := unix.SignalName(unix.Signal(code - 128)); code > 128 && name != "" {
		return fmt.Sprintf("it exited with code %d, as after signal %s", code, name), nil
	}
	return fmt.Sprintf("it exited with code %d", code), nil
}

// outOfMemory reports whether the kernel killed something of the container.
func (c *container) outOfMemory() bool {
	ctx, cancel := cleanup()
	defer cancel()
	found, err := c.driver.api.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
	if err != nil {
		c.logger.Warn("the engine does not tell how a pod ended", slog.Any("error", err))
		return false
	}
	return found.Container.State != nil && found.Container.State.OOMKilled
}

// settle writes down how it ended.
func (c *container) settle(reason string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reason = reason
	if !c.stopped {
		c.err = &pod.ExitError{Pod: c.spec.Name, Reason: reason, Log: c.log.Lines(), Err: err}
	}
}

// startError says why it did not become ready; it has exited.
func (c *container) startError(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := cause.Error()
	if c.err != nil || errors.Is(cause, probe.ErrExited) {
		reason = c.reason + " before it was ready"
	}
	if exit, ok := errors.AsType[*pod.ExitError](c.err); ok && exit.Err != nil {
		cause = exit.Err
	}
	return &pod.StartError{Pod: c.spec.Name, Reason: reason, Log: c.log.Lines(), Err: cause}
}

// Stop sends the image's stop signal, TERM if it names none, and KILL after the grace, however early ctx ends.
func (c *container) Stop(ctx context.Context) error {
	c.ask()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop pod %s: %w", c.spec.Name, context.Cause(ctx))
	}
}

// ask begins the end, once.
func (c *container) ask() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping || closed(c.exited) {
		return
	}
	c.stopping = true
	frozen := c.frozen
	c.frozen = false
	c.ending.Go(func() { c.end(frozen) })
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (c *container) end(frozen bool) {
	if frozen {
		c.thawToEnd()
	}
	c.signal(c.stopSignal)
	grace := time.NewTimer(cmp.Or(c.spec.StopGrace, defaultGrace))
	defer grace.Stop()
	select {
	case <-c.exited:
	case <-grace.C:
		c.logger.Warn("a pod did not end within its grace and is killed")
		c.destroy()
	}
}

// kill ends the container at once.
func (c *container) kill() {
	c.mu.Lock()
	c.stopping = true
	frozen := c.frozen
	c.frozen = false
	c.mu.Unlock()
	if frozen {
		c.thawToEnd()
	}
	c.destroy()
}

// destroy kills the container, and removes it if the engine does not manage that: somebody waits for its end.
func (c *container) destroy() {
	if c.signal("SIGKILL") {
		return
	}
	if err := c.discard(); err != nil {
		c.logger.Warn("a pod can neither be killed nor removed", slog.Any("error", err))
	}
}

// signal is lost on a container that has exited. It answers false if it did not reach one that runs.
func (c *container) signal(name string) bool {
	if closed(c.exited) {
		return true
	}
	ctx, cancel := cleanup()
	defer cancel()
	_, err := c.driver.api.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: name})
	if err == nil || closed(c.exited) || isNotRunning(err) {
		return true
	}
	c.logger.Warn("a signal did not reach a pod", slog.String("signal", name), slog.Any("error", err))
	return false
}
