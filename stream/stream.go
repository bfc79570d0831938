package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options says where the streams are and how large they may grow. The zero value of every field but Conn works.
type Options struct {
	Conn *nats.Conn
	// Shards of the work queue; 0 means 8. All processes of one installation must agree.
	Shards int
	// Replicas of every stream; 0 means 1.
	Replicas int
	// MaxWorkBytes caps all shards together, MaxOutputBytes the output; 0 means 8 GiB each. What waits for its time, and
	// dead letters, may each take half as much as the shards.
	MaxWorkBytes, MaxOutputBytes int64
	// Retention of output that says nothing else; 0 means 72 hours.
	Retention time.Duration
	// AckWait is how long work stays with a worker that says nothing; 0 means 30 seconds.
	AckWait time.Duration
	Logger  *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Shards = cmp.Or(o.Shards, 8)
	o.Replicas = cmp.Or(o.Replicas, 1)
	o.MaxWorkBytes = cmp.Or(o.MaxWorkBytes, 8<<30)
	o.MaxOutputBytes = cmp.Or(o.MaxOutputBytes, 8<<30)
	o.Retention = cmp.Or(o.Retention, 72*time.Hour)
	o.AckWait = cmp.Or(o.AckWait, 30*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o
}

// Stream is where work waits once and events pass in order. All its methods may be called concurrently.
type Stream struct {
	options Options
	conn    *nats.Conn
	js      jetstream.JetStream
	waker   *waker
	hub     *hub
	reader  *reader
	room    *room
	census  census

	closing chan struct{}
	running sync.WaitGroup

	mu sync.Mutex
	// reconnect is closed, and replaced, when the connection came back.
	reconnect chan struct{}
	closed    bool
}

// Open makes the streams that are missing. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Stream, error) {
	if o.Conn == nil {
		return nil, errors.New("stream needs a connection")
	}
	o = o.withDefaults()
	js, err := jetstream.New(o.Conn)
	if err != nil {
		return nil, translate(ctx, err)
	}
	if err := makeStreams(ctx, js, o); err != nil {
		return nil, err
	}
	reader, err := newReader(o.Conn)
	if err != nil {
		return nil, translate(ctx, err)
	}
	s := &Stream{
		options:   o,
		conn:      o.Conn,
		js:        js,
		waker:     newWaker(o.Conn),
		hub:       newHub(o.Conn),
		reader:    reader,
		census:    census{lock: make(chan struct{}, 1)},
		closing:   make(chan struct{}),
		reconnect: make(chan struct{}),
	}
	s.room = newRoom(maxLaterBytes(o), s.laterBytes)
	s.run()
	return s, nil
}

// run starts what belongs to the Stream itself; Close waits for it.
func (s *Stream) run() {
	status := s.conn.StatusChanged(nats.CONNECTED)
	s.running.Go(func() {
		defer s.conn.RemoveStatusListener(status)
		s.followConnection(status)
	})
	s.running.Go(func() { s.waker.run(s.closing) })
	s.running.Go(func() { s.hub.run(s.closing) })
}

// followConnection tells those who listen that the connection was away: what was sent meanwhile is lost to them.
func (s *Stream) followConnection(status <-chan nats.Status) {
	for {
		select {
		case <-status:
			s.hub.lapse()
			s.reconnected()
		case <-s.closing:
			return
		}
	}
}

func (s *Stream) reconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.reconnect)
	s.reconnect = make(chan struct{})
}

// whenReconnected answers a channel that is closed when a connection that was lost from now on is back.
func (s *Stream) whenReconnected() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reconnect
}

// start runs f until Close waits for it; f must watch s.closing.
func (s *Stream) start(f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.running.Go(f)
	return nil
}

// Close ends subscriptions, all but those of queues, and what waits in Wakes and Watch. It does not close the connection.
func (s *Stream) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.closing)
	s.running.Wait()
	s.reader.close()
	return nil
}

// answerWait is how long JetStream is given to answer a request. A caller's own time may be much longer, and a request that
// went down with its connection is never answered.
const answerWait = 5 * time.Second

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, answerWait)
}

// publish stores a message and returns once JetStream has acknowledged it.
func (s *Stream) publish(ctx context.Context, message *nats.Msg, options ...jetstream.PublishOpt) error {
	waiting, done := bounded(ctx)
	defer done()
	_, err := s.js.PublishMsg(waiting, message, options...)
	return err
}

// duplicates is the window in which JetStream looks for repeated message ids, of which we give none; 0 would mean two minutes.
const duplicates = 100 * time.Millisecond

// makeStreams makes what is missing and brings the rest to what o says.
func makeStreams(ctx context.Context, js jetstream.JetStream, o Options) error {
	configs := []jetstream.StreamConfig{outputConfig(o), laterConfig(o), deadConfig(o)}
	for shard := range o.Shards {
		configs = append(configs, workConfig(o, shard))
	}
	for _, config := range configs {
		if _, err := js.CreateOrUpdateStream(ctx, config); err != nil {
			return fmt.Errorf("make stream %s: %w", config.Name, translate(ctx, err))
		}
	}
	return nil
}

func workConfig(o Options, shard int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        workStream(shard),
		Description: "executions that wait for a worker",
		Subjects:    []string{shardSubjects(shard)},
		Retention:   jetstream.WorkQueuePolicy,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    max(o.MaxWorkBytes/int64(o.Shards), 1),
		Replicas:    o.Replicas,
		Storage:     jetstream.FileStorage,
		Duplicates:  duplicates,
	}
}

func outputConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        outputStream,
		Description: "output of executions, chunk by chunk",
		Subjects:    []string{allOutput},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxBytes:    o.MaxOutputBytes,
		AllowMsgTTL: true,
		Replicas:    o.Replicas,
		Storage:     jetstream.FileStorage,
		AllowDirect: true,
		Duplicates:  duplicates,
		RePublish:   &jetstream.RePublish{Source: allOutput, Destination: watchedOutput},
	}
}
