package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"
)

// NATS goes away under load: its server is killed, and started again a while later.
func TestNATSIsKilled(t *testing.T) {
	p := real(t)
	t.Parallel()
	rounds := 2
	if *long {
		rounds = 20
	}
	server := NewNATS(t, p)
	w := newWorld(t, connect(t, server.URL()), NewServerAt(t, p, server.URL()))
	w.outage(t, func() {
		for range rounds {
			lasts(t, time.Second)
			began := time.Now()
			server.Kill()
			lasts(t, 5*time.Second)
			server.Start(t)
			w.back(t, began)
		}
	})
}

// NATS is cut off: its server neither answers nor goes away. When it comes back it does what it was asked meanwhile.
func TestNATSIsCutOff(t *testing.T) {
	p := real(t)
	t.Parallel()
	server := NewNATS(t, p)
	w := newWorld(t, connect(t, server.URL()), NewServerAt(t, p, server.URL()))
	w.outage(t, func() {
		lasts(t, time.Second)
		began := time.Now()
		server.Signal(t, syscall.SIGSTOP)
		lasts(t, 30*time.Second)
		server.Signal(t, syscall.SIGCONT)
		w.back(t, began)
	})
}

// Of a cluster of three the server dies that leads the records, and comes back later.
func TestLeaderIsKilled(t *testing.T) {
	p := real(t)
	t.Parallel()
	rounds := 1
	if *long {
		rounds = 10
	}
	cluster := NewCluster(t, p)
	conn := connect(t, urls(cluster))
	eventually(t, time.Minute, "the cluster keeps three copies", func() error { return keepsCopies(t.Context(), conn) })
	w := newWorld(t, conn, NewServerAt(t, p, urls(cluster), "--replicas", "3"))
	w.outage(t, func() {
		for range rounds {
			lasts(t, time.Second)
			began := time.Now()
			leader := leaderOf(t, conn, cluster)
			leader.Kill()
			lasts(t, 5*time.Second)
			leader.Start(t)
			w.back(t, began)
			eventually(t, time.Minute, "all copies are up to date", func() error { return upToDate(t.Context(), conn) })
		}
	})
}

// outage puts load on w while disturb does its work, and checks what callers were told.
func (w *world) outage(t *testing.T, disturb func()) {
	t.Helper()
	submitting, stop := context.WithCancel(t.Context())
	defer stop()
	load := w.load(4, append(Mix(), Long)...)
	load.Pause, load.Unbroken = 20*time.Millisecond, true
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		load.Run(submitting, t.Context())
	}()
	disturb()
	stop()
	<-stopped
	load.Followed()
	w.settled(t, 90*time.Second)
	refusals := load.Refusals()
	var slowest time.Duration
	for _, r := range refusals {
		slowest = max(slowest, r.Took)
		if r.Code != codes.Unavailable || r.Hint <= 0 {
			w.Fault("a submission at %s was refused with %s after %v, to be tried again in %v: %s", stamp(r.At), r.Code, r.Took, r.Hint, r.Message)
		}
	}
	t.Logf("%d submissions were refused, the slowest after %v", len(refusals), slowest)
	w.verdict(t)
}

// lasts lets time go by, in which nothing is waited for.
func lasts(t *testing.T, d time.Duration) {
	t.Helper()
	wait(t.Context(), d)
}

// back waits until a submission is accepted again.
func (w *world) back(t *testing.T, began time.Time) {
	t.Helper()
	eventually(t, time.Minute, "submissions are accepted again", func() error {
		tag := w.Submit(Small)
		id, err := w.servers[0].Submit(t.Context(), Small.Request(app, tag))
		if err == nil {
			w.Acknowledge(tag, id)
		}
		return err
	})
	w.Disrupt("nats", began)
	w.sight(t)
}

// keepsCopies tries whether a stream can have three.
func keepsCopies(ctx context.Context, conn *nats.Conn) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	const name = "trial"
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Replicas: 3}); err != nil {
		return err
	}
	return js.DeleteStream(ctx, name)
}

// leaderOf answers the server that leads the records.
func leaderOf(t *testing.T, conn *nats.Conn, cluster []*NATS) *NATS {
	t.Helper()
	info, err := recordsInfo(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(cluster, func(n *NATS) bool { return n.name == info.Cluster.Leader })
	if i < 0 {
		t.Fatalf("the leader %q is none of ours", info.Cluster.Leader)
	}
	return cluster[i]
}

func recordsInfo(ctx context.Context, conn *nats.Conn) (*jetstream.StreamInfo, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, recordStream)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// upToDate says which copy of the records is not.
func upToDate(ctx context.Context, conn *nats.Conn) error {
	info, err := recordsInfo(ctx, conn)
	if err != nil {
		return err
	}
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return errors.New("nobody leads")
	}
	for _, copy := range info.Cluster.Replicas {
		if !copy.Current {
			return fmt.Errorf("the copy of %s lags behind", copy.Name)
		}
	}
	return nil
}
