package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// watch is a running watch of a whole bucket.
type watch struct {
	updates <-chan jetstream.KeyValueEntry
	cancel  context.CancelFunc
	bucket  string
}

var errWatchEnded = errors.New("watch ended")

// beginWatch starts a watch that lives as long as life; ctx bounds the starting.
func beginWatch(ctx, life context.Context, bucket jetstream.KeyValue) (*watch, error) {
	lasting, cancel := context.WithCancel(life)
	defer context.AfterFunc(ctx, cancel)()
	watcher, err := bucket.WatchAll(lasting)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watch bucket %s: %w", bucket.Bucket(), translate(cmp.Or(ctx.Err(), err)))
	}
	return &watch{updates: watcher.Updates(), cancel: cancel, bucket: bucket.Bucket()}, nil
}

// initial hands over what the bucket held when the watch began.
func (w *watch) initial(ctx context.Context, take func(jetstream.KeyValueEntry)) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("load bucket %s: %w", w.bucket, translate(ctx.Err()))
		case e, ok := <-w.updates:
			if !ok {
				return fmt.Errorf("load bucket %s: %w", w.bucket, errWatchEnded)
			}
			if e == nil {
				return nil
			}
			take(e)
		}
	}
}

// stop ends the watch and returns when it has ended. It must take what is still being sent: the watcher closes
// the channel only when it can.
func (w *watch) stop() {
	w.cancel()
	for range w.updates {
		continue
	}
}
