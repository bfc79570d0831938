package process

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// removeLeftovers kills the pods of a server that did not come to stop them, and removes their homes.
func (d *Driver) removeLeftovers(ctx context.Context) error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("list homes: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), homePrefix) {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		d.removeLeftover(ctx, home{filepath.Join(d.dir, entry.Name())})
	}
	return nil
}

// removeLeftover does what it can: a leftover that stays takes room and time from the pods to come, and does not stop them.
func (d *Driver) removeLeftover(ctx context.Context, h home) {
	logger := d.logger.With(slog.String("home", h.dir))
	group := 0
	if r, err := h.readRecord(); err == nil && r.isRunning() {
		group = r.PID
		_ = syscall.Kill(-group, syscall.SIGKILL) // fails only if all have exited
		logger.WarnContext(ctx, "killed a pod that an earlier server left running", slog.Int("pid", group))
	}
	if !awaitGone(group, h, goneLimit) {
		logger.WarnContext(ctx, "processes of an earlier server's pod are still there after they were killed")
	}
	if err := h.remove(); err != nil {
		logger.WarnContext(ctx, "the home of an earlier server's pod cannot be removed", slog.Any("error", err))
	}
}
