package engine

import (
	"errors"
	"fmt"
	"time"

	"dodil.io/ignite/engine/pod"
)

// exitPatience is how long a broken call waits to learn whether its pod ended. A pod that hangs up on a call and lives is no news.
const exitPatience = 200 * time.Millisecond

// explain finds out why the pod of queued work broke: the engine took it away, or how it ended.
func explain(g grant, err error) error {
	if !errors.Is(err, pod.ErrBroken) {
		return err
	}
	gone := within(exitPatience, g.on.outOfService)
	if gone && g.on.evicted {
		return errEvicted
	}
	if ended := g.on.pod.Err(); gone && ended != nil {
		return fmt.Errorf("%w: %w", err, ended)
	}
	return fmt.Errorf("%w%s", err, lastLines(g.on.pod.Logs()))
}

// explainDirect does so for a caller who waits: how the pod ended, if it did by itself.
func explainDirect(g grant, err error) error {
	if !errors.Is(err, pod.ErrBroken) || !within(exitPatience, g.on.outOfService) {
		return err
	}
	if ended := g.on.pod.Err(); ended != nil {
		return fmt.Errorf("%w: %w", err, ended)
	}
	return err
}
