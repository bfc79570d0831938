package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/containerd/errdefs"
	engine "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// isNotRunning says that a container has exited, or was removed, before it could be asked for something.
func isNotRunning(err error) bool { return errdefs.IsConflict(err) || errdefs.IsNotFound(err) }

// Freeze stops every process of the container where it is.
func (c *container) Freeze(ctx context.Context) error {
	if _, err := c.driver.api.ContainerPause(ctx, c.id, client.ContainerPauseOptions{}); err != nil {
		return fmt.Errorf("freeze pod %s: %w", c.spec.Name, err)
	}
	c.setFrozen(true)
	return nil
}

// Thaw lets them go on.
func (c *container) Thaw(ctx context.Context) error {
	if _, err := c.driver.api.ContainerUnpause(ctx, c.id, client.ContainerUnpauseOptions{}); err != nil {
		return fmt.Errorf("thaw pod %s: %w", c.spec.Name, err)
	}
	c.setFrozen(false)
	return nil
}

func (c *container) setFrozen(frozen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = frozen
}

// thawToEnd is for a pod that is to be stopped: what is frozen takes no signal.
func (c *container) thawToEnd() {
	ctx, cancel := cleanup()
	defer cancel()
	if err := c.Thaw(ctx); err != nil && !isNotRunning(err) {
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
