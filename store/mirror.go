package store

import (
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// mirror holds in memory what a bucket holds. It learns from a watch, which hears of every change in the order of
// revisions, but a moment late; and from its own Store's writes, so that these can be read at once.
//
// Both are put together by revision. The watch is always right about a key whose known revision is older. A write of
// our own is taken if it is newer than what is known of the key; if nothing is known, only if the watch has not come
// so far, because otherwise the key may have been deleted since. What is missing for that reason is found by asking the
// bucket; what is present is never older than this Store's own writes.
type mirror[K comparable, V any] struct {
	bucket jetstream.KeyValue
	conn   *nats.Conn
	log    *slog.Logger
	form   form[K, V]

	mu      sync.RWMutex
	entries map[K]entry[V]
	// heardUpTo is the last revision of the bucket that the watch brought.
	heardUpTo uint64
	changed   chan struct{}
}

// form is how a bucket writes its keys and values.
type form[K comparable, V any] struct {
	parseKey func(string) (K, error)
	decode   func(K, stored) (V, error)
}

// entry is what is known of a key. One that is deleted stands only until the watch has heard of it too.
type entry[V any] struct {
	value    V
	revision uint64
	deleted  bool
}

func newMirror[K comparable, V any](bucket jetstream.KeyValue, o Options, form form[K, V]) *mirror[K, V] {
	return &mirror[K, V]{
		bucket:  bucket,
		conn:    o.Conn,
		log:     o.Logger.With(slog.String("bucket", bucket.Bucket())),
		form:    form,
		entries: map[K]entry[V]{},
		changed: make(chan struct{}),
	}
}

func (m *mirror[K, V]) get(key K) (V, bool) {
	m.mu.RLock()
	known, ok := m.entries[key]
	m.mu.RUnlock()
	return known.value, ok && !known.deleted
}

// collect answers all values that keep picks, in no order.
func (m *mirror[K, V]) collect(keep func(V) bool) []V {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var values []V
	for _, known := range m.entries {
		if !known.deleted && keep(known.value) {
			values = append(values, known.value)
		}
	}
	return values
}

// next is closed at the next change.
func (m *mirror[K, V]) next() <-chan struct{} {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.changed
}

// wrote takes over a value that this Store wrote, or read from the bucket itself.
func (m *mirror[K, V]) wrote(key K, value V, revision uint64) {
	m.take(key, entry[V]{value: value, revision: revision})
}

// deleted takes over that this Store deleted the value of that revision. The mark of the deletion has a later one.
func (m *mirror[K, V]) deleted(key K, revision uint64) {
	m.take(key, entry[V]{revision: revision + 1, deleted: true})
}

func (m *mirror[K, V]) take(key K, news entry[V]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.entries[key]
	passed := news.revision <= m.heardUpTo
	switch {
	case ok && known.revision >= news.revision, !ok && passed:
		return
	case news.deleted && passed:
		delete(m.entries, key)
	default:
		m.entries[key] = news
	}
	m.announce()
}

// heard takes over what the watch brings.
func (m *mirror[K, V]) heard(key K, news entry[V]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heardUpTo = news.revision
	known, ok := m.entries[key]
	if ok && known.revision > news.revision {
		return
	}
	if news.deleted {
		delete(m.entries, key)
	} else {
		m.entries[key] = news
	}
	if known.revision != news.revision && (ok || !news.deleted) {
		m.announce()
	}
}

// replace puts what a new watch found in place of what is known, but keeps what this Store wrote after floor, which
// was the newest revision known when that watch began.
func (m *mirror[K, V]) replace(found map[K]entry[V], floor, heardUpTo uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, known := range m.entries {
		if known.revision > floor && known.revision > found[key].revision {
			found[key] = known
		}
	}
	for key, known := range found {
		if known.deleted && known.revision <= heardUpTo {
			delete(found, key)
		}
	}
	m.entries, m.heardUpTo = found, heardUpTo
	m.announce()
}

// announce wakes those who wait for a change. The caller holds the lock.
func (m *mirror[K, V]) announce() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *mirror[K, V]) newestRevision() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	newest := m.heardUpTo
	for _, known := range m.entries {
		newest = max(newest, known.revision)
	}
	return newest
}
