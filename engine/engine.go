package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// Provisioner puts a version's code in place on this machine.
type Provisioner interface {
	// Provision unpacks the artifact, once per hash, and says how to run it. open is called only if it is not in place yet.
	Provision(ctx context.Context, v store.Version, open func() (io.ReadCloser, error)) (Launch, error)
	// RemoveIdle takes away what was provisioned and has not been since before, but for the artifacts whose hash keep wants, and answers
	// how many went. The next Provision puts them in place again.
	RemoveIdle(ctx context.Context, before time.Time, keep func(hash string) bool) (removed int, err error)
}

// Launch is how a version is run.
type Launch struct {
	Dir              string
	Command          []string
	Env              map[string]string
	SocketActivation bool
	HealthPath       string
	// HealthOptional is pod.Spec's: the path is a guess.
	HealthOptional bool
	// ReadOnly, Image, Dockerfile and Template are pod.Spec's.
	ReadOnly          []string
	Image, Dockerfile string
	Template          *pod.Template
}

// Config says what an Engine works with. The zero value of every field that is not a dependency works.
type Config struct {
	Store       *store.Store
	Stream      *stream.Stream
	Driver      pod.Driver
	Provisioner Provisioner
	// Worker names this process in records and logs; it must be unique in the installation.
	Worker string
	// TakeWork lets this process take asynchronous work from the queue.
	TakeWork bool
	// Reserved answers the published apps with reserved capacity; nil keeps no pod warm before the first call.
	Reserved func() []store.App
	// ColdStartBudget is how long a call waits for a pod; 0 means 600 s.
	ColdStartBudget time.Duration
	// MaxHeld bounds the calls that wait for a pod, per app; 0 means 10,000. MaxHeldAll bounds those of all apps; 0 means 50,000.
	MaxHeld, MaxHeldAll int
	// MaxHeldBytes bounds what calls that wait for a pod have in memory, per app, and MaxHeldBytesAll for all apps; 0 means 64 MiB and 256 MiB.
	MaxHeldBytes, MaxHeldBytesAll int64
	// MaxReplicas is the platform's cap of an app's pods; 0 means 5.
	MaxReplicas int
	// LeastScaledown is the floor of an app's scale-down period; 0 means 30 s.
	LeastScaledown time.Duration
	// IdleTeardown is how long an app is idle until what was provisioned for it leaves the disk; 0 means 24 h.
	IdleTeardown time.Duration
	// WarmPoolBytes is how much memory idle pods may hold that are frozen instead of stopped; 0 stops them.
	WarmPoolBytes int64
	// MaxResultBytes bounds a stored result; 0 means 64 MiB.
	MaxResultBytes int64
	// MaxPlatformFailures is how many attempts at one execution may fail for reasons of the platform; 0 means 5.
	MaxPlatformFailures int
	// ReapAfter is how old a record, work or payload must be before it counts as lost when what belongs to it is missing; 0 means 5 minutes.
	// They are looked for five times in that time.
	ReapAfter time.Duration
	// Metrics takes the engine's metrics; nil keeps them to itself.
	Metrics prometheus.Registerer
	// Reached is called at every boundary between two effects (see boundaries.go), for tests that end the process there; nil is nothing.
	Reached func(Boundary)
	// DrainTime is how long running calls may take after StopTaking, or without that after Run's context ended; 0 means 30 s.
	DrainTime time.Duration
	Logger    *slog.Logger
}

// Validate reports every fault at once, by field.
func (c Config) Validate() error {
	var faults []error
	missing := func(field string, is bool) {
		if is {
			faults = append(faults, fmt.Errorf("%s is missing", field))
		}
	}
	missing("Store", c.Store == nil)
	missing("Stream", c.Stream == nil)
	missing("Driver", c.Driver == nil)
	missing("Provisioner", c.Provisioner == nil)
	missing("Worker", c.Worker == "")
	negative := func(field string, is bool) {
		if is {
			faults = append(faults, fmt.Errorf("%s is negative", field))
		}
	}
	negative("ColdStartBudget", c.ColdStartBudget < 0)
	negative("MaxHeld", c.MaxHeld < 0)
	negative("MaxHeldAll", c.MaxHeldAll < 0)
	negative("MaxHeldBytes", c.MaxHeldBytes < 0)
	negative("MaxHeldBytesAll", c.MaxHeldBytesAll < 0)
	negative("MaxReplicas", c.MaxReplicas < 0)
	negative("LeastScaledown", c.LeastScaledown < 0)
	negative("IdleTeardown", c.IdleTeardown < 0)
	negative("WarmPoolBytes", c.WarmPoolBytes < 0)
	negative("MaxResultBytes", c.MaxResultBytes < 0)
	negative("DrainTime", c.DrainTime < 0)
	negative("MaxPlatformFailures", c.MaxPlatformFailures < 0)
	negative("ReapAfter", c.ReapAfter < 0)
	return errors.Join(faults...)
}

func (c Config) withDefaults() Config {
	c.ColdStartBudget = cmp.Or(c.ColdStartBudget, 600*time.Second)
	c.MaxHeld = cmp.Or(c.MaxHeld, 10_000)
	c.MaxHeldAll = cmp.Or(c.MaxHeldAll, 50_000)
	c.MaxHeldBytes = cmp.Or(c.MaxHeldBytes, 64<<20)
	c.MaxHeldBytesAll = cmp.Or(c.MaxHeldBytesAll, 256<<20)
	c.MaxReplicas = cmp.Or(c.MaxReplicas, 5)
	c.LeastScaledown = cmp.Or(c.LeastScaledown, 30*time.Second)
	c.IdleTeardown = cmp.Or(c.IdleTeardown, 24*time.Hour)
	c.MaxResultBytes = cmp.Or(c.MaxResultBytes, 64<<20)
	c.DrainTime = cmp.Or(c.DrainTime, 30*time.Second)
	c.MaxPlatformFailures = cmp.Or(c.MaxPlatformFailures, 5)
	c.ReapAfter = cmp.Or(c.ReapAfter, 5*time.Minute)
	if c.Reached == nil {
		c.Reached = func(Boundary) {}
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Engine takes work, finds a pod with a free slot, records the outcome, and keeps the right number of pods.
type Engine struct {
	config   Config
	dispatch *dispatcher
	worker   *worker
	// untaken is closed once no more work is taken, which was at the time stopped.
	untaken  chan struct{}
	stopped  time.Time
	stopOnce sync.Once
}

// New checks cfg; it does no I/O.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("engine configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	dispatch := newDispatcher(cfg, cfg.Store)
	if err := registerGauges(cfg.Metrics, dispatch); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return &Engine{config: cfg, dispatch: dispatch, worker: newWorker(cfg, dispatch, m), untaken: make(chan struct{})}, nil
}

// Do fulfils gateway.Dispatcher. A call that comes before Run waits for it; once Run drains, new calls fail with pod.ErrBusy. When fn answers
// pod.ErrBroken because its pod ended, the answer holds the pod's own error, too.
func (e *Engine) Do(ctx context.Context, app store.AppRef, held int64, fn func(pod.Target) error) error {
	return e.dispatch.carry(ctx, app, errand{from: direct, held: held}, func(g grant) error {
		return explainDirect(g, fn(g.target()))
	})
}

// Try runs fn with a pod of v that was started for it alone, whether v is published or not, and stops the pod when fn returns. logs are the
// pod's last lines, also when it did not start. The cold-start budget bounds the start. A few at a time are tried; over that, and once Run drains,
// it fails with pod.ErrBusy.
func (e *Engine) Try(ctx context.Context, v store.Version, fn func(pod.Target) error) (logs []string, err error) {
	return e.dispatch.trial(ctx, v, fn)
}

// Sweep looks for work that waits, now and not at the next half minute. It returns at once. Call it when the connection to
// NATS is back: what was enqueued meanwhile by others was not announced to this process.
func (e *Engine) Sweep() { e.worker.sweepSoon() }

// StopTaking takes no more work from the queue. It returns at once; what was taken goes on, and Do works. It may be called at any
// time and again.
func (e *Engine) StopTaking() {
	e.stopOnce.Do(func() {
		e.stopped = time.Now()
		close(e.untaken)
	})
}

// drainLeft is what is left of the drain time, which begins with StopTaking: what was taken has run on while the gateway drained.
func (e *Engine) drainLeft() time.Duration {
	if !isClosed(e.untaken) {
		return e.config.DrainTime
	}
	return max(e.config.DrainTime-time.Since(e.stopped), 0)
}
