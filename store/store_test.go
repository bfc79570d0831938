package store_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

// patience bounds every wait of these tests; none comes near it unless something is broken.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	// An object store's Put of nats.go 1.55, which takes code archives, leaves this goroutine behind, waiting on a nil channel, when the publishing it is to
	// watch has ended before it is scheduled. It holds a few KiB and nothing of ours.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}

// setup answers a Store on a server of its own.
func setup(t testing.TB) *store.Store {
	t.Helper()
	return open(t, streamtest.Start(t), store.Options{})
}

// open answers one more Store on server, on a connection of its own as another process would have.
func open(t testing.TB, server *streamtest.Server, o store.Options) *store.Store {
	t.Helper()
	o.Conn = server.Connect(t)
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s
}

// eventually waits until true, looking again after each change that s hears of.
func eventually(t *testing.T, s *store.Store, what string, look func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		changed := s.Changed()
		if look() {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want one that is %v", err, want)
	}
}

func TestOpenNeedsConnection(t *testing.T) {
	t.Parallel()
	if _, err := store.Open(t.Context(), store.Options{}); err == nil {
		t.Error("opened without a connection")
	}
}

func TestOpenWhenServerIsGone(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	server.Stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := store.Open(ctx, store.Options{Conn: server.Conn})
	wantError(t, err, store.ErrUnavailable)
}

// Several processes may start at once on an empty server.
func TestOpenByManyAtOnce(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	var group sync.WaitGroup
	for range 4 {
		conn := server.Connect(t)
		group.Go(func() {
			s, err := store.Open(t.Context(), store.Options{Conn: conn})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestSync(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	var syncs atomic.Int32
	broken := errors.New("disk is broken")
	var fail atomic.Bool
	s := open(t, server, store.Options{Sync: func(context.Context) error {
		syncs.Add(1)
		if fail.Load() {
			return broken
		}
		return nil
	}})
	before := syncs.Load()
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	app := createApp(t, s, hello)
	if _, err := s.PutCode(t.Context(), []byte("code")); err != nil {
		t.Fatal(err)
	}
	if made := syncs.Load() - before; made != 3 {
		t.Errorf("%d syncs for Sync, CreateApp and PutCode, want 3", made)
	}
	fail.Store(true)
	_, err := s.UpdateApp(t.Context(), app.AppRef, func(*store.App) error { return nil })
	wantError(t, err, broken)
	_, _, err = s.PublishVersion(t.Context(), store.Version{AppRef: hello}, nil)
	wantError(t, err, broken)
	fail.Store(false)
	if app, err = s.App(t.Context(), hello); err != nil || app.ActiveVersion != 0 {
		t.Errorf("app after a publication that could not be synced: %+v, %v", app, err)
	}
}

func TestEverythingIsThereAfterRestart(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	first := open(t, server, store.Options{})
	createApp(t, first, hello)
	hash, err := first.PutCode(t.Context(), []byte("archive"))
	if err != nil {
		t.Fatal(err)
	}
	publish(t, first, store.Version{AppRef: hello, Code: store.Code{Hash: hash}}, "hello-acme")
	if err := first.KeepPayload(t.Context(), "result.x", []byte("large"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	execution := createExecution(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	server.Restart(t)
	second := open(t, server, store.Options{})
	if app, err := second.App(t.Context(), hello); err != nil || app.ActiveVersion != 1 {
		t.Errorf("app is %+v, %v", app, err)
	}
	if v, err := second.Version(t.Context(), hello, 1); err != nil || v.Code.Hash != hash {
		t.Errorf("version is %+v, %v", v, err)
	}
	if ref, port, ok := second.Host("hello-acme"); ref != hello || port != 80 || !ok {
		t.Errorf("host belongs to %s, %d, %t", ref, port, ok)
	}
	if code := readCode(t, second, hash); string(code) != "archive" {
		t.Errorf("code is %q", code)
	}
	if body, err := second.Payload(t.Context(), "result.x"); err != nil || string(body) != "large" {
		t.Errorf("payload is %q, %v", body, err)
	}
	if got, err := second.Execution(t.Context(), execution.Org, execution.ID); err != nil || got.Revision != execution.Revision {
		t.Errorf("execution is %+v, %v", got, err)
	}
}

// A store whose server went away and came back hears what happened meanwhile, and goes on hearing.
func TestFollowsAgainAfterRestart(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	writer, reader := open(t, server, store.Options{}), open(t, server, store.Options{})
	createApp(t, writer, hello)
	eventually(t, reader, "the first app is heard of", func() bool { return listed(t, reader, "acme") == 1 })
	server.Restart(t)
	second := store.AppRef{Org: "acme", Name: "second"}
	eventuallyCreate(t, writer, second)
	eventually(t, reader, "the second app is heard of", func() bool { return listed(t, reader, "acme") == 2 })
	if err := writer.DeleteApp(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	eventually(t, reader, "the deletion is heard of", func() bool { return listed(t, reader, "acme") == 1 })
}

// eventuallyCreate creates an app on a connection that may not be back yet.
func eventuallyCreate(t *testing.T, s *store.Store, ref store.AppRef) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, err := s.CreateApp(ctx, store.App{AppRef: ref})
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			t.Fatalf("create app: %v", err)
		}
	}
}

// A store whose connection was closed under it says so, answers what it knows, and can be closed.
func TestConnectionClosed(t *testing.T) {
	t.Parallel()
	conn := streamtest.Start(t).Conn
	said := make(chan string, 100)
	s, err := store.Open(t.Context(), store.Options{Conn: conn, Logger: slog.New(slog.NewTextHandler(sayTo(said), nil))})
	if err != nil {
		t.Fatal(err)
	}
	createApp(t, s, hello)
	conn.Close()
	for range 3 { // It tries again, and again.
		select {
		case line := <-said:
			if !strings.Contains(line, "watch broke") || !strings.Contains(line, "level=WARN") {
				t.Errorf("logged %s", line)
			}
		case <-time.After(patience):
			t.Fatal("nothing was logged")
		}
	}
	if _, err := s.App(t.Context(), hello); err != nil {
		t.Errorf("app that is known in memory: %v", err)
	}
	_, err = s.CreateApp(t.Context(), store.App{AppRef: store.AppRef{Org: "acme", Name: "second"}})
	wantError(t, err, store.ErrUnavailable)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// sayTo is a writer of log lines.
type sayTo chan<- string

func (s sayTo) Write(line []byte) (int, error) {
	select {
	case s <- string(line):
	default:
	}
	return len(line), nil
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{})
	createApp(t, s, hello)
	execution := createExecution(t, s)
	server.Stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := s.Execution(ctx, execution.Org, execution.ID)
	wantError(t, err, store.ErrUnavailable)
	execution.Status, execution.Attempt = store.Running, 1
	_, err = s.UpdateExecution(ctx, execution)
	wantError(t, err, store.ErrUnavailable)
	if _, err := s.App(ctx, hello); err != nil {
		t.Errorf("app that is known in memory: %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	_, err = s.Execution(stopped, execution.Org, execution.ID)
	wantError(t, err, context.Canceled)
}

// A request that is lost with its connection is given up, however much time its caller has.
func TestLostRequestsAreGivenUp(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{})
	createApp(t, s, hello)
	e := createExecution(t, s)
	server.Stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var calls sync.WaitGroup
	for name, call := range map[string]func() error{
		"create app": func() error {
			_, err := s.CreateApp(ctx, store.App{AppRef: store.AppRef{Org: "acme", Name: "x"}})
			return err
		},
		"read app":         func() error { _, err := s.App(ctx, store.AppRef{Org: "acme", Name: "x"}); return err },
		"update app":       func() error { _, err := s.UpdateApp(ctx, hello, func(*store.App) error { return nil }); return err },
		"delete app":       func() error { return s.DeleteApp(ctx, hello) },
		"publish":          func() error { _, _, err := s.PublishVersion(ctx, store.Version{AppRef: hello}, nil); return err },
		"put code":         func() error { _, err := s.PutCode(ctx, []byte("code")); return err },
		"read execution":   func() error { _, err := s.Execution(ctx, e.Org, e.ID); return err },
		"create execution": func() error { _, err := s.CreateExecution(ctx, newExecution()); return err },
		"list executions":  func() error { _, _, err := s.ListExecutions(ctx, store.ExecutionFilter{Org: e.Org}, 1, ""); return err },
		"unfinished":       func() error { _, err := s.Unfinished(ctx, 0); return err },
		"orphans":          func() error { _, err := s.OrphanedPayloads(ctx, 0); return err },
		"put payload":      func() error { return s.PutPayload(ctx, "request.x", nil) },
		"keep payload":     func() error { return s.KeepPayload(ctx, "request.x", nil, time.Now()) },
		"read payload":     func() error { _, err := s.Payload(ctx, "request.x"); return err },
		"delete payload":   func() error { return s.DeletePayload(ctx, "request.x") },
		"claim key":        func() error { _, err := s.ClaimKey(ctx, e.Org, hello, "key", newClaim("a")); return err },
		"release key":      func() error { _, err := s.ReleaseKey(ctx, e.Org, hello, "key", newClaim("a")); return err },
		"confirm key":      func() error { return s.ConfirmKey(ctx, e.Org, hello, "key", newClaim("a")) },
	} {
		calls.Go(func() {
			if err := call(); !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
				t.Errorf("%s: %v, want %v before its caller's time is over", name, err, store.ErrUnavailable)
			}
		})
	}
	calls.Wait()
}

// Every stream has a cap, large or small, and the caps add up to less than four times MaxBytes.
func TestEveryBucketIsCapped(t *testing.T) {
	t.Parallel()
	for _, maxBytes := range []int64{1 << 20, 8 << 30} {
		server := streamtest.Start(t)
		open(t, server, store.Options{MaxBytes: maxBytes})
		js, err := jetstream.New(server.Conn)
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		streams := js.ListStreams(t.Context())
		for stream := range streams.Info() {
			discard := jetstream.DiscardNew
			if name := stream.Config.Name; name == "IGNITE_BUILDLOGS" || name == "IGNITE_USAGE" {
				discard = jetstream.DiscardOld
			}
			if stream.Config.MaxBytes <= 0 || stream.Config.Discard != discard {
				t.Errorf("stream %s is capped at %d bytes, discarding %v", stream.Config.Name, stream.Config.MaxBytes, stream.Config.Discard)
			}
			sum += stream.Config.MaxBytes
		}
		if err := streams.Err(); err != nil || sum < 3*maxBytes || sum >= 4*maxBytes {
			t.Errorf("all streams together take %d bytes with MaxBytes %d, %v", sum, maxBytes, err)
		}
	}
}

// openCapped answers a Store whose buckets hold hardly anything.
func openCapped(t *testing.T) *store.Store {
	t.Helper()
	return open(t, streamtest.Start(t), store.Options{MaxBytes: 1 << 20})
}
