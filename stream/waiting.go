package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// censusShare is the share of time that Waiting may spend: what it found is kept this many times as long as finding
// it took. JetStream lists every message's subject, about 5 microseconds each.
const censusShare = 20

// listWait bounds one listing; of a million messages it takes some seconds.
const listWait = 30 * time.Second

// census is what Waiting found last. Who asks holds the lock by sending to it; unlike a mutex it can be waited for with a context.
type census struct {
	lock  chan struct{}
	apps  []App
	until time.Time
}

// Waiting answers every app that has work in the queue, held by a worker or not. With very much in the queue the
// answer may be some time old, up to twenty times what it takes to find it out.
func (s *Stream) Waiting(ctx context.Context) ([]App, error) {
	select {
	case s.census.lock <- struct{}{}:
		defer func() { <-s.census.lock }()
	case <-ctx.Done():
		return nil, fmt.Errorf("list waiting apps: %w", context.Cause(ctx))
	}
	began := time.Now()
	if began.Before(s.census.until) {
		return slices.Clone(s.census.apps), nil
	}
	listing, done := s.whileListing(ctx)
	defer done()
	apps, err := s.findWaiting(listing)
	if err != nil {
		return nil, fmt.Errorf("list waiting apps: %w", translate(ctx, err))
	}
	s.census.apps = apps
	s.census.until = began.Add(censusShare * keptFor(time.Since(began)))
	return slices.Clone(apps), nil
}

// Waits reports whether the work of one execution is in the queue, held by a worker or not.
func (s *Stream) Waits(ctx context.Context, app App, execution string) (bool, error) {
	if err := checkWork(app, execution); err != nil {
		return false, fmt.Errorf("look for work: %w", err)
	}
	shard := shardOf(app, s.options.Shards)
	found, err := s.countSubjects(ctx, workStream(shard), workSubject(shard, app, execution))
	if err != nil {
		return false, fmt.Errorf("look for work of %s: %w", execution, translate(ctx, err))
	}
	return found > 0, nil
}

// whileListing answers a context that ends with ctx, after listWait, and when the connection was lost and is back: the answer to what
// was asked before does not come then.
func (s *Stream) whileListing(ctx context.Context) (listing context.Context, done func()) {
	listing, cancel := context.WithTimeout(ctx, listWait)
	lost := s.whenReconnected()
	var watching sync.WaitGroup
	watching.Go(func() {
		defer cancel()
		select {
		case <-lost:
		case <-listing.Done():
		}
	})
	return listing, func() {
		cancel()
		watching.Wait()
	}
}

// keptFor leaves out what is quick: then the answer is always fresh.
func keptFor(took time.Duration) time.Duration {
	if took < 50*time.Millisecond {
		return 0
	}
	return took
}

func (s *Stream) findWaiting(ctx context.Context) ([]App, error) {
	found := make(map[App]struct{})
	for shard := range s.options.Shards {
		if err := s.findInShard(ctx, shard, found); err != nil {
			return nil, err
		}
	}
	return slices.Collect(maps.Keys(found)), nil
}

func (s *Stream) findInShard(ctx context.Context, shard int, found map[App]struct{}) error {
	shardStream, err := s.js.Stream(ctx, workStream(shard))
	if err != nil {
		return err
	}
	if shardStream.CachedInfo().State.Msgs == 0 {
		return nil
	}
	info, err := shardStream.Info(ctx, jetstream.WithSubjectFilter(shardSubjects(shard)))
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		if app, _, err := parseWork(subject); err == nil {
			found[app] = struct{}{}
		}
	}
	return nil
}
