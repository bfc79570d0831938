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
	"strings"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// defaultTimeout is how long one call of an app may take that does not say.
const defaultTimeout = 120 * time.Second

// errSuperseded is why a start is given up: another version is active now.
var errSuperseded = errors.New("another version is active")

// spec is what a pod is started with, and what the engine remembers of it.
type spec struct {
	pod.Spec
	slots int
}

// start provisions the version and starts a pod of it inside the cold-start budget.
func (p *pool) start(ctx context.Context, version uint32) (pod.Pod, spec, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.budget, &pod.TimeoutError{Clock: "cold start", Limit: p.budget})
	defer cancel()
	s, err := p.spec(ctx, version)
	if err != nil {
		return nil, spec{}, err
	}
	started, err := p.driver.Start(ctx, s.Spec)
	return started, s, err
}

// spec reads the version and puts its code in place.
func (p *pool) spec(ctx context.Context, number uint32) (spec, error) {
	v, err := p.apps.Version(ctx, p.key.AppRef, number)
	if err != nil {
		return spec{}, fmt.Errorf("read version %d of %s: %w", number, p.key, err)
	}
	name := podName(v)
	launch, err := p.provisioner.Provision(ctx, v, func() (io.ReadCloser, error) { return p.apps.Code(ctx, v.ArtifactHash) })
	if err != nil {
		return spec{}, &pod.StartError{Pod: name, Reason: err.Error(), Err: err}
	}
	return specOf(name, v, launch), nil
}

func specOf(name string, v store.Version, l Launch) spec {
	size := sizes[cmp.Or(v.Tier, store.TierMedium)]
	return spec{
		Spec: pod.Spec{
			Name:             name,
			Org:              v.Org,
			App:              v.Name,
			Version:          v.Number,
			Dir:              l.Dir,
			Command:          l.Command,
			Env:              environment(v.Env, l.Env),
			SocketActivation: l.SocketActivation,
			HealthPath:       l.HealthPath,
			HealthOptional:   l.HealthOptional,
			MemoryMB:         cmp.Or(v.Limits.MemoryMB, size.memoryMB),
			CPUMillicores:    cmp.Or(v.Limits.CPUMillicores, size.cpuMillicores),
		},
		slots: slotsOf(v.Config),
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

// started puts a new pod in service in place of those of other versions, and gives its slots to the line.
func (p *pool) started(ctx context.Context, c *coming, i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer signal(p.poke)
	p.coming = nil
	p.fault.started()
	p.lastError = ""
	p.used = time.Now()
	p.pods = append(p.pods, i)
	if p.closed != nil || ctx.Err() != nil { // given up while the pod came up
		p.retire(i, 0)
		return
	}
	if c.version == p.active {
		p.retireOthers(c.version)
	}
	p.serveLine()
}

// retireOthers drains the pods of every version but the one given.
func (p *pool) retireOthers(version uint32) {
	for _, i := range p.pods {
		if i.version != version {
			p.retire(i, p.timeout)
		}
	}
}

// notStarted ends a start that failed. Those who wait get the failure, unless an older version still serves them.
func (p *pool) notStarted(ctx context.Context, c *coming, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer signal(p.poke)
	p.coming = nil
	if reason := context.Cause(ctx); errors.Is(reason, errSuperseded) || p.closed != nil {
		return
	}
	p.fault.startFailed(time.Now(), c.version, err)
	p.lastError = err.Error()
	if p.serving() == 0 {
		p.refuse(err)
	}
	p.log.WarnContext(ctx, "pod did not start", slog.String("app", p.key.String()),
		slog.Uint64("version", uint64(c.version)), slog.Any("error", err))
}
