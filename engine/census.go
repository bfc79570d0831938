package engine

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// answerCensus tells gateways about the pods of this process, from when it returns until ctx ends.
func (e *Engine) answerCensus(ctx context.Context) {
	pauses := backoff{least: time.Second, most: 30 * time.Second}
	for ctx.Err() == nil {
		err := e.config.Stream.Answer(ctx, pod.CensusTopic, func(question []byte) []byte { return e.census(ctx, question) })
		if err == nil {
			return
		}
		e.config.Logger.WarnContext(ctx, "cannot answer for the pods", slog.Any("error", err))
		_ = pauses.wait(ctx) // the loop looks at ctx
	}
}

// census answers a question, or nothing if it is none.
func (e *Engine) census(ctx context.Context, question []byte) []byte {
	var request pod.CensusRequest
	if err := json.Unmarshal(question, &request); err != nil {
		e.config.Logger.WarnContext(ctx, "unreadable question for pods", slog.Any("error", err))
		return nil
	}
	answer, err := json.Marshal(e.dispatch.census(ctx, store.AppRef{Org: request.Org, Name: request.App}))
	if err != nil {
		e.config.Logger.ErrorContext(ctx, "census cannot be written", slog.Any("error", err))
		return nil
	}
	return answer
}

// census counts the pods of an app; one that is not there has none.
func (d *dispatcher) census(ctx context.Context, ref store.AppRef) pod.Census {
	c := pod.Census{MaxReplicas: d.bounds.replicas, LeastScaledownSecs: int(d.bounds.scaledown / time.Second)}
	app, err := d.apps.App(ctx, ref)
	if err != nil {
		return c
	}
	if p := d.known(poolKey{ref, app.Incarnation}); p != nil {
		p.count(&c)
	}
	return c
}

// count fills in what the pool knows: it adds pods and calls to those that are counted already.
func (p *pool) count(c *pod.Census) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Desired, c.Queued, c.LastError = p.desired, p.queued(time.Now()), p.lastError
	if p.failed == p.active && p.servingOf(p.active) == 0 {
		c.Failed = p.failed
	}
	c.Starting += len(p.coming)
	c.Waiting += p.waiting.length()
	for _, i := range p.pods {
		c.InFlight += i.used
		switch {
		case i.thawing:
			c.Starting++
		case i.frozen:
			c.Frozen++
			c.FrozenBytes += i.frozenBytes
		case i.leaving:
			c.Draining++
		default:
			c.Ready++
			c.Serving = append(c.Serving, i.version)
		}
	}
	slices.Sort(c.Serving)
	c.Serving = slices.Compact(c.Serving)
}
