package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/containerd/errdefs"
	engine "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// isNotRunning says that a container has exited, or was removed, before it could be asked for something.
func isNotRunning(err error) bool { return errdefs.IsConflict(err) || errdefs.IsNotFound(err) }

var errEnding = errors.New("the pod is ending")

// Freeze stops every process of the container where it is.
func (c *container) Freeze(ctx context.Context) error {
	if err := c.beginFreeze(); err != nil {
		return fmt.Errorf("freeze pod %s: %w", c.spec.Name, err)
	}
	if _, err := c.driver.api.ContainerPause(ctx, c.id, client.ContainerPauseOptions{}); err != nil {
		return fmt.Errorf("freeze pod %s: %w", c.spec.Name, err)
	}
	return nil
}

// beginFreeze counts the pod as frozen from before it is, so that a Stop which comes meanwhile thaws it.
func (c *container) beginFreeze() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping || closed(c.exited) {
		return errEnding
	}
	c.frozen = true
	return nil
}

// Thaw lets them go on.
func (c *container) Thaw(ctx context.Context) error {
	if closed(c.exited) {
		return fmt.Errorf("thaw pod %s: %w", c.spec.Name, errEnding)
	}
	if err := c.unpause(ctx); err != nil {
		return fmt.Errorf("thaw pod %s: %w", c.spec.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = false
	return nil
}

// unpause is satisfied with a container that was not paused, or did not come to be.
func (c *container) unpause(ctx context.Context) error {
	_, err := c.driver.api.ContainerUnpause(ctx, c.id, client.ContainerUnpauseOptions{})
	if isNotRunning(err) {
		return nil
	}
	return err
}

// thawToEnd is for a pod that is to be stopped: what is frozen takes no signal.
func (c *container) thawToEnd() {
	ctx, cancel := cleanup()
	defer cancel()
	if err := c.unpause(ctx); err != nil {
		c.logger.Warn("a frozen pod cannot be told to end", slog.Any("error", err))
	}
}

// MemoryBytes is what the container holds, without files that the kernel would drop first.
func (c *container) MemoryBytes() (int64, error) {
	ctx, cancel := cleanup()
	defer cancel()
	answer, err := c.driver.api.ContainerStats(ctx, c.id, client.ContainerStatsOptions{})
	if err != nil {
		return 0, fmt.Errorf("measure pod %s: %w", c.spec.Name, err)
	}
	defer func() { _ = answer.Body.Close() }()
	var stats engine.StatsResponse
	if err := json.NewDecoder(answer.Body).Decode(&stats); err != nil {
		return 0, fmt.Errorf("measure pod %s: %w", c.spec.Name, err)
	}
	return held(stats.MemoryStats), nil
}

// held takes from the memory in use what is only a copy of files. The kernel has two names for it, by its version of cgroups.
func held(stats engine.MemoryStats) int64 {
	cached, ok := stats.Stats["total_inactive_file"]
	if !ok {
		cached = stats.Stats["inactive_file"]
	}
	return int64(stats.Usage - min(cached, stats.Usage))
}
