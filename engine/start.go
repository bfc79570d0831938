package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// defaultTimeout is how long one call of an app may take that does not say.
const defaultTimeout = 120 * time.Second

// errSuperseded is why a start is given up: another version is active now.
var errSuperseded = errors.New("another version is active")

// version reads what is to be started, as the app is configured now.
func (p *pool) version(ctx context.Context, number uint32) (store.Version, error) {
	v, err := p.apps.Version(ctx, p.key.AppRef, number)
	if err != nil {
		return store.Version{}, fmt.Errorf("read version %d of %s: %w", number, p.key, err)
	}
	v.MaxConcurrency = p.slots() // which may have been changed since the version was published
	return v, nil
}

// slots is how many calls a pod takes at once.
func (p *pool) slots() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint32(p.rules.slots)
}

// startPod puts the version's code in place and starts a pod of it, inside the cold-start budget. The code must be in use (uses) by then.
func (d *dispatcher) startPod(ctx context.Context, v store.Version) (pod.Pod, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.budget, &pod.TimeoutError{Clock: pod.ClockColdStart, Limit: d.budget})
	defer cancel()
	name := podName(v)
	endTurn, err := d.turns.take(ctx)
	if err != nil {
		return nil, &pod.StartError{Pod: name, Reason: err.Error(), Err: err}
	}
	defer endTurn()
	launch, err := d.provisioner.Provision(ctx, v, func() (io.ReadCloser, error) { return d.apps.Code(ctx, v.ArtifactHash) })
	if err != nil {
		return nil, &pod.StartError{Pod: name, Reason: err.Error(), Err: err}
	}
	return d.driver.Start(ctx, specOf(name, v, launch))
}

func specOf(name string, v store.Version, l Launch) pod.Spec {
	size := sizes[cmp.Or(v.Tier, store.TierMedium)]
	return pod.Spec{
		Name:             name,
		Org:              v.Org,
		App:              v.Name,
		Version:          v.Number,
		Dir:              l.Dir,
		Command:          l.Command,
		ReadOnly:         l.ReadOnly,
		Image:            l.Image,
		Dockerfile:       l.Dockerfile,
		Template:         l.Template,
		Ports:            v.Ports,
		Env:              environment(v.Env, l.Env),
		SocketActivation: l.SocketActivation,
		HealthPath:       l.HealthPath,
		HealthOptional:   l.HealthOptional,
		MemoryMB:         cmp.Or(v.Limits.MemoryMB, size.memoryMB),
		CPUMillicores:    cmp.Or(v.Limits.CPUMillicores, size.cpuMillicores),
	}
}

// sizes are the tiers' limits.
var sizes = map[store.Tier]struct{ memoryMB, cpuMillicores uint32 }{
	store.TierSmall:  {256, 250},
	store.TierMedium: {512, 500},
	store.TierLarge:  {1024, 1000},
	store.TierXLarge: {2048, 2000},
}

// podName is "<app>-<version>-<random>".
func podName(v store.Version) string {
	return fmt.Sprintf("%s-%d-%s", v.Name, v.Number, strings.ToLower(rand.Text()[:8]))
}

// environment adds what the runtime needs to what the user set; the runtime's has the last word.
func environment(user, runtime map[string]string) map[string]string {
	env := make(map[string]string, len(user)+len(runtime))
	maps.Copy(env, user)
	maps.Copy(env, runtime)
	return env
}

func slotsOf(c store.Config) int { return int(cmp.Or(c.MaxConcurrency, defaultSlots)) }

func timeoutOf(c store.Config) time.Duration {
	return cmp.Or(time.Duration(c.Limits.TimeoutSecs)*time.Second, defaultTimeout)
}

// started puts a new pod in service and gives its slots to the line. The keeper lets the pods go that it replaces.
func (p *pool) started(ctx context.Context, c *coming, i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer signal(p.poke)
	p.noLongerComing(c)
	p.used = time.Now()
	p.pods = append(p.pods, i)
	p.faultOf(c.version).started()
	if c.version == p.active {
		p.lastError, p.failed = "", 0
	}
	if p.closed != nil || ctx.Err() != nil { // given up while the pod came up: its life ends with ctx
		i.condemned = true
		p.retire(i, 0)
		return
	}
	p.serveLine()
}

// notStarted ends a start that failed. Those who wait get the failure, unless pods, other starts or a stand-in may serve them.
func (p *pool) notStarted(ctx context.Context, c *coming, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer signal(p.poke)
	p.noLongerComing(c)
	if reason := context.Cause(ctx); errors.Is(reason, errSuperseded) || p.closed != nil {
		return
	}
	now := time.Now()
	p.faultOf(c.version).startFailed(now, c.version, err)
	if c.version == p.active {
		p.lastError, p.failed = err.Error(), c.version
	}
	if err := p.refusal(now, p.active); err != nil {
		p.refuse(err)
	}
	p.tellRoom() // fewer pods come than who counted on them was told
	p.log.WarnContext(ctx, "pod did not start", slog.String("app", p.key.String()),
		slog.Uint64("version", uint64(c.version)), slog.Any("error", err))
}

// noLongerComing ends a start, however it went.
func (p *pool) noLongerComing(c *coming) {
	p.coming = slices.DeleteFunc(p.coming, func(other *coming) bool { return other == c })
}
