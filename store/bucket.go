package store

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The caps of the buckets that hold what people deploy, as long as they are small beside Options.MaxBytes, which the others
// have; under a small one they take their part of it. All buckets together take no more than MaxBytes three and a half times.
const (
	appsCap, appsPart         = 128 << 20, 8
	versionsCap, versionsPart = 512 << 20, 4
	hostsCap, hostsPart       = 32 << 20, 16
)

const (
	// markerTTL is how long the mark of a deleted app or host stays, for stores whose watch lags behind. One that was
	// disconnected for longer reads the bucket again anyway.
	markerTTL = 24 * time.Hour
	// payloadGrace lets a result outlive the record that names it.
	payloadGrace = time.Hour
	// answerTimeout is what nats.go gives a request of a caller who has no deadline.
	answerTimeout = 5 * time.Second
	// chunkSize of objects. A message of that size is the largest that a server takes by default.
	chunkSize = 1 << 20
)

// bounded is for a single request to JetStream. A caller's own time may be much longer, and a request that was lost with
// its connection is never answered.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, answerTimeout)
}

type buckets struct {
	apps, versions, hosts jetstream.KeyValue
	// The streams beneath their buckets, for what a key-value API has no words for.
	appStream, versionStream, executions jetstream.Stream
	code, payloads                       jetstream.ObjectStore
}

func makeBuckets(ctx context.Context, js jetstream.JetStream, o Options) (b buckets, err error) {
	if b.apps, err = makeKeyValue(ctx, js, o, appsBucket, min(appsCap, o.MaxBytes/appsPart)); err != nil {
		return buckets{}, err
	}
	if b.versions, err = makeKeyValue(ctx, js, o, versionsBucket, min(versionsCap, o.MaxBytes/versionsPart)); err != nil {
		return buckets{}, err
	}
	if b.hosts, err = makeKeyValue(ctx, js, o, hostsBucket, min(hostsCap, o.MaxBytes/hostsPart)); err != nil {
		return buckets{}, err
	}
	if b.appStream, err = streamOf(ctx, js, appsBucket); err != nil {
		return buckets{}, err
	}
	if b.versionStream, err = streamOf(ctx, js, versionsBucket); err != nil {
		return buckets{}, err
	}
	if b.executions, err = js.CreateOrUpdateStream(ctx, executionsConfig(o)); err != nil {
		return buckets{}, fmt.Errorf("make bucket %s: %w", executionsBucket, translate(err))
	}
	if b.code, err = makeObjectStore(ctx, js, o, codeBucket, 0); err != nil {
		return buckets{}, err
	}
	b.payloads, err = makeObjectStore(ctx, js, o, payloadsBucket, o.Retention+payloadGrace)
	return b, err
}

func makeKeyValue(ctx context.Context, js jetstream.JetStream, o Options, name string, maxBytes int64) (jetstream.KeyValue, error) {
	bucket, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:         name,
		History:        1,
		MaxBytes:       maxBytes,
		Storage:        jetstream.FileStorage,
		Replicas:       o.Replicas,
		LimitMarkerTTL: markerTTL,
	})
	if err != nil {
		return nil, fmt.Errorf("make bucket %s: %w", name, translate(err))
	}
	return bucket, nil
}

func streamOf(ctx context.Context, js jetstream.JetStream, bucket string) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return nil, fmt.Errorf("look up stream of bucket %s: %w", bucket, translate(err))
	}
	return stream, nil
}

func makeObjectStore(ctx context.Context, js jetstream.JetStream, o Options, name string, maxAge time.Duration) (jetstream.ObjectStore, error) {
	bucket, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket:   name,
		TTL:      maxAge,
		MaxBytes: o.MaxBytes,
		Storage:  jetstream.FileStorage,
		Replicas: o.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("make bucket %s: %w", name, translate(err))
	}
	return bucket, nil
}

// executionsConfig is a key-value bucket as nats.go and the nats command understand it, but made as a stream: only so
// can records have a TTL of their own and yet leave no marker behind when it ends.
func executionsConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              "KV_" + executionsBucket,
		Subjects:          []string{executionSubjects + ">"},
		MaxMsgsPerSubject: 1,
		MaxBytes:          o.MaxBytes,
		Discard:           jetstream.DiscardNew,
		Storage:           jetstream.FileStorage,
		Replicas:          o.Replicas,
		AllowDirect:       true,
		AllowRollup:       true,
		AllowMsgTTL:       true,
		RePublish: &jetstream.RePublish{
			Source:      republishSource,
			Destination: republishDestination,
		},
	}
}
