package streamtest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	nodes = 3
	// electionWait bounds how long a test waits for the cluster to agree.
	electionWait = 30 * time.Second
	electionPoll = 20 * time.Millisecond
)

// Cluster is three servers in this process that replicate. They reach each other through connections that a test can cut.
type Cluster struct {
	nodes [nodes]*node
	// doors[i][j] is where node i reaches node j.
	doors [nodes][nodes]*door
}

// node is one server, which may be stopped.
type node struct {
	name   string
	folder string

	mu      sync.Mutex
	running *server.Server
}

// StartCluster answers three servers that have agreed on a leader. They are stopped by t.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	folder := t.TempDir()
	for i := range c.nodes {
		name := "node-" + strconv.Itoa(i)
		c.nodes[i] = &node{name: name, folder: filepath.Join(folder, name)}
		for j := range c.nodes {
			c.doors[i][j] = openDoor(t)
		}
	}
	for i := range c.nodes {
		c.start(t, i)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
	})
	c.awaitAgreement(t)
	return c
}

// Connect answers a connection to the node, and after its end to another one.
func (c *Cluster) Connect(t testing.TB, node int) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect("nats://127.0.0.1", nats.SetCustomDialer(dialer{c, node}), nats.IgnoreDiscoveredServers(),
		nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(5*time.Millisecond, 0),
		nats.ReconnectBufSize(-1), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("connect to cluster: %v", err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// Leader is the node that leads a stream now.
func (c *Cluster) Leader(t testing.TB, stream string) int {
	t.Helper()
	js, err := jetstream.New(c.Connect(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	leader := ""
	await(t, "stream "+stream+" has a leader", func() bool {
		found, err := js.Stream(t.Context(), stream)
		if err == nil && found.CachedInfo().Cluster != nil {
			leader = found.CachedInfo().Cluster.Leader
		}
		return leader != ""
	})
	for i, n := range c.nodes {
		if n.name == leader {
			return i
		}
	}
	t.Fatalf("stream %s is led by %q, a stranger", stream, leader)
	return 0
}

// Stop ends a node as its operator does: it hands over what it leads.
func (c *Cluster) Stop(t testing.TB, node int) {
	t.Helper()
	c.nodes[node].stop()
}

// Kill ends a node that can tell the others nothing any more: they miss it when they have not heard of it for some seconds.
func (c *Cluster) Kill(t testing.TB, node int) {
	t.Helper()
	for other := range c.nodes {
		c.doors[node][other].shut()
		c.doors[other][node].shut()
	}
	c.nodes[node].stop()
}

// Resume starts a stopped node on its folder and returns once all agree again.
func (c *Cluster) Resume(t testing.TB, node int) {
	t.Helper()
	c.start(t, node)
	c.awaitAgreement(t)
}

func (c *Cluster) start(t testing.TB, i int) {
	t.Helper()
	n := c.nodes[i]
	started, err := server.NewServer(c.settings(i))
	if err != nil {
		t.Fatalf("configure %s: %v", n.name, err)
	}
	started.Start()
	if !started.ReadyForConnections(electionWait) {
		t.Fatalf("%s does not take connections", n.name)
	}
	for other := range c.nodes {
		c.doors[other][i].open(started.ClusterAddr().String())
		if running := c.nodes[other].current(); running != nil {
			c.doors[i][other].open(running.ClusterAddr().String())
		}
	}
	n.mu.Lock()
	n.running = started
	n.mu.Unlock()
}

func (c *Cluster) settings(i int) *server.Options {
	n := c.nodes[i]
	settings := &server.Options{
		ServerName:             n.name,
		Host:                   "127.0.0.1",
		Port:                   server.RANDOM_PORT,
		NoSigs:                 true,
		NoLog:                  true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               n.folder,
		JetStreamMaxStore:      1 << 50, // the streams have their own caps
		JetStreamLimits:        server.JSLimitOpts{DefaultMaxConsumers: -1},
		Cluster: server.ClusterOpts{
			Name:      "ignite",
			Host:      "127.0.0.1",
			Port:      server.RANDOM_PORT,
			Advertise: c.doors[(i+1)%nodes][i].address(),
		},
	}
	for other := range c.nodes {
		if other != i {
			settings.Routes = append(settings.Routes, &url.URL{Scheme: "nats", Host: c.doors[i][other].address()})
		}
	}
	return settings
}

// awaitAgreement waits until the nodes that run have a leader and each has all that it is to hold.
func (c *Cluster) awaitAgreement(t testing.TB) {
	t.Helper()
	await(t, "the cluster agrees", func() bool {
		leaders := 0
		for _, n := range c.nodes {
			running := n.current()
			if running == nil {
				continue
			}
			if !healthy(running) {
				return false
			}
			if running.JetStreamIsLeader() {
				leaders++
			}
		}
		return leaders == 1
	})
}

// healthy asks a node what its operator asks before the next one is stopped.
func healthy(running *server.Server) bool {
	answer := httptest.NewRecorder()
	running.HandleHealthz(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	return answer.Code == http.StatusOK
}

func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(electionPoll)
	defer ticker.Stop()
	over := time.After(electionWait)
	for !so() {
		select {
		case <-ticker.C:
		case <-over:
			t.Fatalf("not so after %s: %s", electionWait, what)
		}
	}
}

func (n *node) current() *server.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running
}

func (n *node) stop() {
	n.mu.Lock()
	running := n.running
	n.running = nil
	n.mu.Unlock()
	if running == nil {
		return
	}
	running.Shutdown()
	running.WaitForShutdown()
}

// dialer connects to its node, or to the next one that runs, whatever the address.
type dialer struct {
	cluster *Cluster
	node    int
}

func (d dialer) Dial(string, string) (net.Conn, error) {
	err := errors.New("no node runs")
	for i := range nodes {
		running := d.cluster.nodes[(d.node+i)%nodes].current()
		if running == nil {
			continue
		}
		var conn net.Conn
		if conn, err = net.Dial("tcp", running.Addr().String()); err == nil {
			return conn, nil
		}
	}
	return nil, fmt.Errorf("dial cluster: %w", err)
}
