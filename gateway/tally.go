package gateway

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"dodil.io/ignite/store"
)

const (
	// tallyTime is how often counts are stored; a process that is killed loses what it counted since.
	tallyTime = time.Second
	// lastTallyTime is how long storing may take when the server stops.
	lastTallyTime = 5 * time.Second
)

// tally counts direct calls: per app in the store, for bills, and by status in the metrics. Metrics have no label per app, of which there
// may be tens of thousands.
type tally struct {
	store *store.Store
	log   *slog.Logger
	// calls by the hundred of their status, and those whose caller left.
	calls [6]prometheus.Counter
	gone  prometheus.Counter

	mu      sync.Mutex
	pending map[store.AppRef]store.Usage
}

// batch is what is stored at once. It keeps its id until it is stored, so that it counts once.
type batch struct {
	id     string
	usages map[store.AppRef]store.Usage
}

func newTally(cfg Config) (*tally, error) {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ignite_direct_calls_total",
		Help: "Direct calls by the class of their status; 499 are those whose caller left.",
	}, []string{"status"})
	t := &tally{store: cfg.Store, log: cfg.Logger, gone: calls.WithLabelValues("499"), pending: map[store.AppRef]store.Usage{}}
	for i, class := range [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		t.calls[i] = calls.WithLabelValues(class)
	}
	if cfg.Registry == nil {
		return t, nil
	}
	return t, cfg.Registry.Register(calls)
}

// count takes in a call that ended with status.
func (t *tally) count(v *visit, status int) {
	t.metric(status).Inc()
	if !v.sought {
		return
	}
	var one store.Usage
	switch {
	case status == statusClientClosed:
		one.Left = 1
	case v.call.Status == status:
		one.Answered = 1
	default:
		one.Failed = 1
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending[v.app.AppRef] = t.pending[v.app.AppRef].Add(one)
}

func (t *tally) metric(status int) prometheus.Counter {
	switch class := status / 100; {
	case status == statusClientClosed:
		return t.gone
	case class >= 1 && class < len(t.calls):
		return t.calls[class]
	default:
		return t.calls[0]
	}
}

// run stores counts until ctx ends, and then once more.
func (t *tally) run(ctx context.Context) {
	ticks := time.NewTicker(tallyTime)
	defer ticks.Stop()
	var unstored batch
	for {
		select {
		case <-ticks.C:
			unstored = t.flush(ctx, unstored)
		case <-ctx.Done():
			t.finish(ctx, unstored)
			return
		}
	}
}

// finish stores what an earlier attempt could not, and the rest.
func (t *tally) finish(ctx context.Context, unstored batch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTallyTime)
	defer cancel()
	if unstored = t.flush(ctx, unstored); unstored.usages == nil {
		unstored = t.flush(ctx, batch{})
	}
	if lost := len(unstored.usages); lost > 0 {
		t.log.LogAttrs(ctx, slog.LevelError, "calls of apps were not counted", slog.Int("apps", lost))
	}
}

// flush stores b, or what was counted meanwhile if there is none, and answers what is left to store.
func (t *tally) flush(ctx context.Context, b batch) batch {
	if b.usages == nil {
		b = t.take()
	}
	if b.usages == nil {
		return b
	}
	err := t.store.AddUsage(ctx, b.id, b.usages)
	if err == nil {
		return batch{}
	}
	if !errors.Is(err, context.Canceled) {
		t.log.LogAttrs(ctx, slog.LevelWarn, "counts of calls could not be stored, and are kept", slog.String("error", err.Error()))
	}
	return b
}

func (t *tally) take() batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) == 0 {
		return batch{}
	}
	b := batch{id: ulid.Make().String(), usages: maps.Clone(t.pending)}
	clear(t.pending)
	return b
}
