package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"dodil.io/ignite/stream/streamtest"
)

// newClusterWorld has three replicas of all, and each Store connected to another of the three servers.
func newClusterWorld(t *testing.T) (*world, *streamtest.Cluster) {
	cluster := streamtest.StartCluster(t)
	on := func(node int, retention time.Duration) *Store {
		s, err := Open(t.Context(), Options{Conn: cluster.Connect(t, node), Replicas: 3, MaxBytes: 1 << 30, Retention: retention})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	return &world{
		T: t, random: rand.New(rand.NewPCG(5, 6)),
		keeps: on(0, 0), drops: on(1, time.Second), reads: on(2, 0),
	}, cluster
}

// What was acknowledged is known on every server at once, though replicas lag behind, and stays when the one that led is killed.
func TestCluster(t *testing.T) {
	t.Parallel()
	w, cluster := newClusterWorld(t)
	for range 40 {
		w.create()
	}
	for range 3 {
		w.act(60)
		w.compare()
		w.exercise()
	}
	cluster.Kill(t, cluster.Leader(t, "KV_"+executionsBucket))
	w.awaitConnections()
	w.compare()
	w.settle()
	for range 2 {
		w.act(60)
		w.compare()
		w.exercise()
	}
}

// settle has the stores act on what the bucket has, whose last writes may have been cut off without an answer.
func (w *world) settle() {
	w.Helper()
	w.records = w.records[:0]
	for _, e := range w.scan() {
		w.records = append(w.records, e)
	}
}

// exercise writes on one server what it reads on another.
func (w *world) exercise() {
	w.Helper()
	name := "request." + NewExecutionID()
	for size := 3*payloadChunk + 5; size > 0; size -= 2 * payloadChunk {
		body := bytes.Repeat([]byte{byte(w.random.Int())}, size)
		if err := w.keeps.PutPayload(w.Context(), name, body); err != nil {
			w.Fatal(err)
		}
		if got, err := w.reads.Payload(w.Context(), name); err != nil || !bytes.Equal(got, body) {
			w.Errorf("payload is %d bytes, %v; want the %d that were put", len(got), err, size)
		}
	}
	key := fmt.Sprint(w.random.Int())
	mine, other := Claim{NewExecutionID(), "a"}, Claim{NewExecutionID(), "b"}
	for _, step := range []struct {
		by             *Store
		claims, wanted Claim
	}{{w.keeps, mine, mine}, {w.reads, other, mine}, {w.drops, other, mine}} {
		if holds, err := step.by.ClaimKey(w.Context(), "acme", hello, key, step.claims); err != nil || holds != step.wanted {
			w.Errorf("%+v holds the key, %v; want %+v", holds, err, step.wanted)
		}
	}
	if refused, err := w.reads.ReleaseKey(w.Context(), "acme", hello, key, mine); err != nil || !refused {
		w.Errorf("released: %v, %v", refused, err)
	}
	if holds, err := w.drops.ClaimKey(w.Context(), "acme", hello, key, other); err != nil || holds != other {
		w.Errorf("%+v holds the key that was released, %v; want %+v", holds, err, other)
	}
}
