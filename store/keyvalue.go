package store

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// keyValue is a bucket whose single requests are bounded, whatever time a caller has: one that is lost with its connection is never answered.
type keyValue struct{ jetstream.KeyValue }

func (b keyValue) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return b.KeyValue.Get(ctx, key)
}

func (b keyValue) Create(ctx context.Context, key string, value []byte, options ...jetstream.KVCreateOpt) (uint64, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return b.KeyValue.Create(ctx, key, value, options...)
}

func (b keyValue) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return b.KeyValue.Update(ctx, key, value, revision)
}

func (b keyValue) Purge(ctx context.Context, key string, options ...jetstream.KVDeleteOpt) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return b.KeyValue.Purge(ctx, key, options...)
}
