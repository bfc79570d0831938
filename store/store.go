package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"
)

// Options says where the store is and what it promises. The zero value of every field but Conn works.
type Options struct {
	Conn *nats.Conn
	// Sync returns once everything that JetStream acknowledged before the call is on disk; nil trusts the acknowledgement.
	Sync func(context.Context) error
	// Replicas of every bucket; 0 means 1.
	Replicas int
	// Retention of terminal executions; 0 means 72 hours, and the least is a second.
	Retention time.Duration
	// MaxBytes caps the executions bucket, the payloads and the code bucket, each; 0 means 8 GiB.
	// The server must have that much to give: JetStream sets a bucket's cap aside when the bucket is made.
	MaxBytes int64
	Logger   *slog.Logger
}

const (
	defaultRetention = 72 * time.Hour
	defaultMaxBytes  = 8 << 30
)

func (o Options) withDefaults() Options {
	o.Replicas = cmp.Or(o.Replicas, 1)
	o.Retention = max(cmp.Or(o.Retention, defaultRetention), time.Second)
	o.MaxBytes = cmp.Or(o.MaxBytes, defaultMaxBytes)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o
}

// Store is what is true now. All its methods may be called concurrently.
type Store struct {
	options Options
	js      jetstream.JetStream
	buckets buckets

	apps     *mirror[AppRef, App]
	hosts    *mirror[string, claim]
	versions versionCache
	created  creations
	creating atomic.Int64

	uploads singleflight.Group
	// room is that of the executions bucket.
	room, payloadRoom *room
	index             *index

	stopFollowing context.CancelFunc
	following     sync.WaitGroup
}

// Open makes the buckets that are missing and begins to follow apps and hosts. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Conn == nil {
		return nil, errors.New("open store: no connection")
	}
	o = o.withDefaults()
	js, err := jetstream.New(o.Conn)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", translate(err))
	}
	buckets, err := makeBuckets(ctx, js, o)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{options: o, js: js, buckets: buckets}
	s.room = newRoom(buckets.executions, o.MaxBytes)
	s.payloadRoom = newRoom(buckets.payloads, o.MaxBytes)
	s.index = newIndex(s)
	s.apps = newMirror(buckets.apps, o, form[AppRef, App]{
		parseKey: parseAppKey,
		decode:   func(_ AppRef, stored stored) (App, error) { return decodeApp(stored) },
	})
	s.hosts = newMirror(buckets.hosts, o, form[string, claim]{parseKey: parseHostKey, decode: decodeClaim})
	if err := s.follow(ctx); err != nil {
		return nil, fmt.Errorf("open store: %w", errors.Join(err, s.Close()))
	}
	return s, nil
}

// follow reads what the watched buckets hold and leaves behind the goroutines that hear of their changes.
func (s *Store) follow(ctx context.Context) error {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopFollowing = stop
	followApps, err := s.apps.start(ctx, life)
	if err != nil {
		return err
	}
	s.following.Go(followApps)
	followHosts, err := s.hosts.start(ctx, life)
	if err != nil {
		return err
	}
	s.following.Go(followHosts)
	s.following.Go(func() { s.index.keepUp(life) })
	return nil
}

// Close stops following; it does not close the connection.
func (s *Store) Close() error {
	s.stopFollowing()
	s.following.Wait()
	return nil
}

// Retention is how long an execution is kept after its end.
func (s *Store) Retention() time.Duration { return s.options.Retention }

// Sync returns once everything written before the call is on disk. Callers share one sync.
func (s *Store) Sync(ctx context.Context) error {
	if s.options.Sync == nil {
		return nil
	}
	if err := s.options.Sync(ctx); err != nil {
		return fmt.Errorf("sync store: %w", err)
	}
	return nil
}
