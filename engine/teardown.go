package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// tearDown takes from the disk, until ctx ends, what was provisioned for apps that were idle for as long as configured. It looks often enough for none to stay much
// longer than that.
func (e *Engine) tearDown(ctx context.Context) {
	every := time.NewTicker(max(e.config.IdleTeardown/24, time.Second))
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
		removed, err := e.removeIdle(ctx)
		if err != nil && ctx.Err() == nil {
			e.config.Logger.WarnContext(ctx, "idle code cannot be removed", slog.Any("error", err))
		}
		if removed > 0 {
			e.config.Logger.InfoContext(ctx, "idle code removed", slog.Int("artifacts", removed))
		}
	}
}

// removeIdle keeps what pods run, what is being started, and what is to be there without a call.
func (e *Engine) removeIdle(ctx context.Context) (removed int, err error) {
	reserved, err := e.dispatch.reservedCode(ctx)
	if err != nil {
		return 0, err
	}
	keep := func(hash string) bool { return reserved[hash] || e.dispatch.uses.has(hash) }
	return e.config.Provisioner.RemoveIdle(ctx, time.Now().Add(-e.config.IdleTeardown), keep)
}

// reservedCode answers the artifacts of the apps that keep pods warm. They are never torn down, even while no pod of theirs comes up.
func (d *dispatcher) reservedCode(ctx context.Context) (map[string]bool, error) {
	code := make(map[string]bool)
	if d.reserved == nil {
		return code, nil
	}
	for _, app := range d.reserved() {
		v, err := d.apps.Version(ctx, app.AppRef, app.ActiveVersion)
		if err != nil {
			return nil, fmt.Errorf("read version %d of %s: %w", app.ActiveVersion, app, err)
		}
		code[v.ArtifactHash] = true
	}
	return code, nil
}
