package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	loadTimeout     = 10 * time.Second
	firstRetryPause = 100 * time.Millisecond
	lastRetryPause  = 5 * time.Second
)

// start reads the bucket, bounded by ctx, and answers what keeps the mirror up to date until life ends.
func (m *mirror[K, V]) start(ctx, life context.Context) (follow func(), err error) {
	reconnected := m.conn.StatusChanged(nats.CONNECTED)
	w, err := m.load(ctx, life)
	if err != nil {
		m.conn.RemoveStatusListener(reconnected)
		return nil, err
	}
	return func() {
		defer m.conn.RemoveStatusListener(reconnected)
		m.follow(life, w, reconnected)
	}, nil
}

// follow hears w and, whenever it breaks or the connection was lost, reads the bucket again and hears a new one.
func (m *mirror[K, V]) follow(life context.Context, w *watch, reconnected <-chan nats.Status) {
	for w != nil {
		m.hear(life, w, reconnected)
		w.stop()
		w = m.resume(life, reconnected)
	}
}

// resume tries until there is a new watch. It answers nil when life ends first.
func (m *mirror[K, V]) resume(life context.Context, reconnected <-chan nats.Status) *watch {
	for pause := firstRetryPause; life.Err() == nil; pause = min(2*pause, lastRetryPause) {
		w, err := m.reload(life)
		if err == nil {
			return w
		}
		if life.Err() != nil {
			return nil
		}
		m.log.WarnContext(life, "watch broke, trying again", slog.Any("error", err), slog.Duration("pause", pause))
		wait(life, pause, reconnected)
	}
	return nil
}

func wait(ctx context.Context, pause time.Duration, early <-chan nats.Status) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-early:
	case <-timer.C:
	}
}

// hear returns when w is broken or cannot be trusted any more: a watch goes on after a lost connection, but does not
// tell of deletions whose marks are gone by then, nor that the server came back with less than it had.
func (m *mirror[K, V]) hear(life context.Context, w *watch, reconnected <-chan nats.Status) {
	for {
		select {
		case <-life.Done():
			return
		case <-reconnected:
			return
		case e, ok := <-w.updates:
			if !ok {
				return
			}
			if key, news, ok := m.read(life, e); ok {
				m.heard(key, news)
			}
		}
	}
}

func (m *mirror[K, V]) reload(life context.Context) (*watch, error) {
	ctx, cancel := context.WithTimeout(life, loadTimeout)
	defer cancel()
	return m.load(ctx, life)
}

// load begins a watch that lives as long as life and takes over what the bucket holds; ctx bounds the loading.
func (m *mirror[K, V]) load(ctx, life context.Context) (*watch, error) {
	floor := m.newestRevision()
	w, err := beginWatch(ctx, life, m.bucket)
	if err != nil {
		return nil, err
	}
	found := map[K]entry[V]{}
	var heardUpTo uint64
	err = w.initial(ctx, func(e jetstream.KeyValueEntry) {
		heardUpTo = e.Revision()
		if key, news, ok := m.read(ctx, e); ok {
			found[key] = news
		}
	})
	if err != nil {
		w.stop()
		return nil, err
	}
	m.replace(found, floor, heardUpTo)
	return w, nil
}

// read is not ok for what this Store cannot read, such as a record of another make: it is left out and logged.
func (m *mirror[K, V]) read(ctx context.Context, e jetstream.KeyValueEntry) (key K, news entry[V], ok bool) {
	news = entry[V]{revision: e.Revision(), deleted: e.Operation() != jetstream.KeyValuePut}
	key, err := m.form.parseKey(e.Key())
	if err == nil && !news.deleted {
		news.value, err = m.form.decode(key, storedOf(e))
	}
	if err != nil {
		m.log.ErrorContext(ctx, "record cannot be read and is left out",
			slog.String("key", e.Key()), slog.Uint64("revision", e.Revision()), slog.Any("error", err))
	}
	return key, news, err == nil
}
