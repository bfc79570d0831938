package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/embed"
)

// stack is the inside of a server, opened in this process: NATS on a folder of its own with group commit, store, stream, and an engine whose pods
// are handlers. It measures what a station costs without sockets around it.
type stack struct {
	dir    string
	nats   *embed.Server
	conn   *nats.Conn
	store  *store.Store
	stream *stream.Stream
	driver *podtest.Memory
	// answered counts the calls that the pods have answered.
	answered atomic.Int64
}

func openStack(ctx context.Context) (s *stack, err error) {
	s = &stack{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "ignite-bench-"); err != nil {
		return s, err
	}
	if s.nats, err = embed.Open(ctx, embed.Options{StoreDir: s.dir, Sync: embed.SyncGroup, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return s, err
	}
	if s.conn, err = s.nats.Connect("bench"); err != nil {
		return s, err
	}
	if s.store, err = store.Open(ctx, store.Options{Conn: s.conn, Sync: s.nats.Sync}); err != nil {
		return s, err
	}
	if s.stream, err = stream.Open(ctx, stream.Options{Conn: s.conn}); err != nil {
		return s, err
	}
	s.driver = podtest.NewLoopback(podtest.Serving(http.HandlerFunc(s.answer)))
	return s, nil
}

func (s *stack) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, _ = w.Write(body)
	s.answered.Add(1)
}

// waiting counts the messages of work that are not acknowledged.
func (s *stack) waiting(ctx context.Context) (messages uint64, err error) {
	js, err := jetstream.New(s.conn)
	if err != nil {
		return 0, err
	}
	streams := js.ListStreams(ctx, jetstream.WithStreamListSubject("ignite.work.>"))
	for info := range streams.Info() {
		messages += info.State.Msgs
	}
	return messages, streams.Err()
}

// close undoes open, as far as that went.
func (s *stack) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var faults []error
	if s.driver != nil {
		faults = append(faults, s.driver.Close(ctx))
	}
	if s.store != nil {
		faults = append(faults, s.store.Close())
	}
	if s.stream != nil {
		faults = append(faults, s.stream.Close())
	}
	if s.conn != nil {
		s.conn.Close()
	}
	if s.nats != nil {
		faults = append(faults, s.nats.Close(ctx))
	}
	return errors.Join(append(faults, os.RemoveAll(s.dir))...)
}

// work runs an engine until stop, which answers how it ended.
func (s *stack) work() (stop func() error, err error) {
	e, err := engine.New(engine.Config{
		Store: s.store, Stream: s.stream, Driver: s.driver, Provisioner: inPlace{}, Worker: "bench", TakeWork: true,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return e.Run(ctx) })
	return func() error {
		cancel()
		return running.Wait()
	}, nil
}

// inPlace provisions what needs no files.
type inPlace struct{}

func (inPlace) Provision(context.Context, store.Version, func() (io.ReadCloser, error)) (engine.Launch, error) {
	return engine.Launch{Command: []string{"app"}}, nil
}

func (inPlace) RemoveIdle(context.Context, time.Time, func(string) bool) (int, error) { return 0, nil }

// publish makes app number n.
func (s *stack) publish(ctx context.Context, n int) (store.App, error) {
	return s.publishAs(ctx, store.AppRef{Org: organization, Name: fmt.Sprintf("app-%d", n)}, store.Config{})
}

func (s *stack) publishAs(ctx context.Context, ref store.AppRef, config store.Config) (store.App, error) {
	app, err := s.store.CreateApp(ctx, store.App{AppRef: ref, Config: config})
	if err != nil {
		return store.App{}, err
	}
	app, _, err = s.store.PublishVersion(ctx, store.Version{AppRef: ref, Incarnation: app.Incarnation, Config: config}, nil)
	return app, err
}

// submit does to the disk what InvokeAsync does: record and work side by side, then the shared sync.
func (s *stack) submit(ctx context.Context, app store.App, body []byte) (id string, err error) {
	id = store.NewExecutionID()
	request, err := pod.EncodeHead(pod.Head{
		Envelope: pod.Envelope{Method: http.MethodPost, Path: "/"},
		Identity: pod.Identity{ExecutionID: id, FunctionID: app.String(), OrganizationID: organization},
	})
	if err != nil {
		return "", err
	}
	queued := make(chan error, 1)
	go func() {
		queued <- s.stream.Enqueue(ctx, stream.Work{
			Execution: id, Owner: organization, App: stream.App{Org: app.Org, Name: app.Name}, Request: request, Body: body})
	}()
	_, err = s.store.CreateExecution(ctx, store.Execution{
		ID: id, Org: organization, App: app.AppRef, Incarnation: app.Incarnation, Version: app.ActiveVersion, CreatedAt: time.Now()})
	if err := errors.Join(err, <-queued); err != nil {
		return "", err
	}
	return id, s.store.Sync(ctx)
}
