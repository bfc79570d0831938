package process

import (
	"context"
	"time"

	"dodil.io/ignite/engine/pod/probe"
)

// awaitReady returns nil once the pod takes calls, and an error when it has exited, nothing listens within patience, or ctx has ended.
func (p *process) awaitReady(ctx context.Context, patience time.Duration) error {
	return probe.Pod{
		Addr:           p.addr,
		HealthPath:     p.spec.HealthPath,
		HealthOptional: p.spec.HealthOptional,
		Queued:         p.spec.SocketActivation,
		Exited:         p.exited,
		ListenLimit:    patience,
	}.Await(ctx)
}
