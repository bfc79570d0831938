package store

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The caps of the small buckets, as long as they are small beside Options.MaxBytes, which the others have: executions, payloads and code;
// under a small one they take their part of it. All buckets together take less than four times MaxBytes.
const (
	appsCap, appsPart               = 128 << 20, 8
	versionsCap, versionsPart       = 512 << 20, 4
	hostsCap, hostsPart             = 32 << 20, 16
	idempotencyCap, idempotencyPart = 1 << 30, 8 // some three million keys a day
	usageCap, usagePart             = 64 << 20, 32
	buildLogsCap, buildLogsPart     = 256 << 20, 8
)

const (
	// markerTTL is how long the mark of a deleted app or host stays, for stores whose watch lags behind. One that was
	// disconnected for longer reads the bucket again anyway.
	markerTTL = 24 * time.Hour
	// keyLife is how long an idempotency key stands for its first request, if records are kept as long: a key that outlived its record could
	// not be told from one whose submission was cut off, and would let the request run again.
	keyLife = 24 * time.Hour
	// buildLogLife is how long the log of a build is kept.
	buildLogLife = 7 * 24 * time.Hour
	// answerTimeout is what nats.go gives a request of a caller who has no deadline.
	answerTimeout = 5 * time.Second
	// leastTTL is the shortest life that JetStream gives a message.
	leastTTL = time.Second
)

// bounded is for a single request to JetStream. A caller's own time may be much longer, and a request that was lost with
// its connection is never answered.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, answerTimeout)
}

type buckets struct {
	apps, versions, hosts keyValue
	// The streams beneath their buckets, for what a key-value API has no words for.
	appStream, versionStream, idempotency jetstream.Stream
	// Streams of our own.
	executions, payloads, buildLogs, usage jetstream.Stream
	code                                   jetstream.ObjectStore
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
	if b.executions, err = makeStream(ctx, js, o, executionsConfig(o)); err != nil {
		return buckets{}, err
	}
	if b.idempotency, err = makeStream(ctx, js, o, idempotencyConfig(o)); err != nil {
		return buckets{}, err
	}
	if b.payloads, err = makeStream(ctx, js, o, payloadsConfig(o)); err != nil {
		return buckets{}, err
	}
	if b.buildLogs, err = makeBuildLogs(ctx, js, o); err != nil {
		return buckets{}, err
	}
	if b.usage, err = makeUsage(ctx, js, o); err != nil {
		return buckets{}, err
	}
	b.code, err = makeCode(ctx, js, o)
	return b, err
}

func makeKeyValue(ctx context.Context, js jetstream.JetStream, o Options, name string, maxBytes int64) (keyValue, error) {
	bucket, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:         name,
		History:        1,
		MaxBytes:       maxBytes,
		Storage:        jetstream.FileStorage,
		Replicas:       o.Replicas,
		LimitMarkerTTL: markerTTL,
	})
	if err != nil {
		return keyValue{}, fmt.Errorf("make bucket %s: %w", name, translate(err))
	}
	return keyValue{bucket}, nil
}

func streamOf(ctx context.Context, js jetstream.JetStream, bucket string) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return nil, fmt.Errorf("look up stream of bucket %s: %w", bucket, translate(err))
	}
	return stream, nil
}

func makeCode(ctx context.Context, js jetstream.JetStream, o Options) (jetstream.ObjectStore, error) {
	bucket, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket:   codeBucket,
		MaxBytes: o.MaxBytes,
		Storage:  jetstream.FileStorage,
		Replicas: o.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("make bucket %s: %w", codeBucket, translate(err))
	}
	return bucket, nil
}

// makeStream makes a stream that keeps the last message of each subject and refuses what is beyond its cap. The configuration says the rest.
func makeStream(ctx context.Context, js jetstream.JetStream, o Options, config jetstream.StreamConfig) (jetstream.Stream, error) {
	config.MaxMsgsPerSubject = 1
	config.Discard = jetstream.DiscardNew
	config.Storage = jetstream.FileStorage
	config.Replicas = o.Replicas
	config.AllowDirect = true
	stream, err := js.CreateOrUpdateStream(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("make stream %s: %w", config.Name, translate(err))
	}
	return stream, nil
}

// executionsConfig is a key-value bucket as nats.go and the nats command understand it, but made as a stream: only so
// can records have a TTL of their own and yet leave no marker behind when it ends.
func executionsConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        "KV_" + executionsBucket,
		Subjects:    []string{executionSubjects + ">"},
		MaxBytes:    o.MaxBytes,
		AllowRollup: true,
		AllowMsgTTL: true,
		RePublish: &jetstream.RePublish{
			Source:      republishSource,
			Destination: republishDestination,
		},
	}
}

// idempotencyConfig is made as a stream too: a claim is replaced by compare-and-set, and leaves with its time without a marker.
func idempotencyConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        "KV_" + idempotencyBucket,
		Subjects:    []string{idempotencySubjects + ">"},
		MaxBytes:    min(idempotencyCap, o.MaxBytes/idempotencyPart),
		MaxAge:      min(keyLife, o.Retention),
		AllowRollup: true,
	}
}

// payloadsConfig has bodies in chunks, which nats.go's object store would have too; but there they cannot have a TTL of their own, reading
// costs a consumer, and a deletion needs room and leaves a mark.
func payloadsConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        payloadStream,
		Subjects:    []string{payloadSubjects + "*.*"},
		MaxBytes:    o.MaxBytes,
		AllowMsgTTL: true,
	}
}

// makeBuildLogs has many messages of one subject, and throws the oldest out when it is full: a log that is lost is no loss of work.
func makeBuildLogs(ctx context.Context, js jetstream.JetStream, o Options) (jetstream.Stream, error) {
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        buildLogStream,
		Subjects:    []string{buildLogSubjects + "*"},
		MaxBytes:    min(buildLogsCap, o.MaxBytes/buildLogsPart),
		MaxAge:      buildLogLife,
		Discard:     jetstream.DiscardOld,
		Storage:     jetstream.FileStorage,
		Replicas:    o.Replicas,
		AllowDirect: true,
		RePublish: &jetstream.RePublish{
			Source:      buildLogSubjects + "*",
			Destination: buildLogTold + "{{wildcard(1)}}",
			HeadersOnly: true,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make stream %s: %w", buildLogStream, translate(err))
	}
	return stream, nil
}

// wholeSeconds is the least TTL that JetStream can give a message which must live for d: it cuts off what is less than a second.
func wholeSeconds(d time.Duration) time.Duration {
	return max((d + time.Second - 1).Truncate(time.Second), leastTTL)
}
