package fault

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// takeoverLimit is how long the work of a dead worker may lie.
const takeoverLimit = 35 * time.Second

// Two workers share NATS; the first one holds calls when something happens to it.
func TestTakeover(t *testing.T) {
	p := real(t)
	t.Parallel()
	for name, test := range map[string]func(t *testing.T, p Programs){
		"a killed worker's work is taken over in time":  killed,
		"a stopped worker's work is taken over at once": stopped,
		"a paused worker decides nothing any more":      paused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// twoWorkers answers a world whose first server has n calls of kind k in its pod, and a second server.
func twoWorkers(t *testing.T, p Programs, k Kind, n int) (w *world, one, two *Server, ids []string) {
	t.Helper()
	nats := NewNATS(t, p)
	one = NewServerAt(t, p, nats.URL())
	w = newWorld(t, connect(t, nats.URL()), one)
	for range n {
		tag := w.Submit(k)
		id, err := one.Submit(t.Context(), k.Request(app, tag))
		if err != nil {
			t.Fatal(err)
		}
		w.Acknowledge(tag, id)
		ids = append(ids, id)
	}
	w.awaitCalls(t, 1, n)
	two = NewServerAt(t, p, nats.URL())
	return w, one, two, ids
}

// awaitCalls waits until n calls of an attempt came to a pod, and answers when the last one came.
func (w *world) awaitCalls(t *testing.T, attempt uint32, n int) (last time.Time) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("pods have seen %d calls of attempt %d", n, attempt), func() error {
		calls, err := ReadCalls(w.calls)
		if err != nil {
			return err
		}
		seen := 0
		for _, c := range calls {
			if c.Attempt == attempt {
				seen++
				last = c.At
			}
		}
		if seen < n {
			return fmt.Errorf("%d so far", seen)
		}
		return nil
	})
	return last
}

const heldCalls = 10

func killed(t *testing.T, p Programs) {
	w, one, two, _ := twoWorkers(t, p, Held, heldCalls)
	began := time.Now()
	one.Kill()
	w.Kill("worker", began)
	took := w.awaitCalls(t, 2, heldCalls).Sub(began)
	t.Logf("the last call was taken over after %v", took)
	if took > takeoverLimit {
		t.Errorf("the last call was taken over after %v, want %v", took, takeoverLimit)
	}
	w.servers = []*Server{two}
	w.settled(t, time.Minute)
	w.verdict(t)
}

func stopped(t *testing.T, p Programs) {
	w, one, two, _ := twoWorkers(t, p, Held, heldCalls)
	began := time.Now()
	one.Stop(t)
	ended := time.Now()
	w.Disrupt("stop", began)
	took := w.awaitCalls(t, 2, heldCalls).Sub(ended)
	t.Logf("the last call was taken over %v after the end of the process", took)
	if took > 3*time.Second {
		t.Errorf("the last call was taken over %v after the end of the process, want at once", took)
	}
	w.servers = []*Server{two}
	w.settled(t, time.Minute)
	w.verdict(t)
}

// paused stops a worker in the middle of streamed answers until another has taken them over, and lets it go on then.
func paused(t *testing.T, p Programs) {
	const streams = 4
	w, one, two, ids := twoWorkers(t, p, Long, streams)
	load := w.load(1)
	for _, id := range ids {
		load.followed.Go(func() { load.watch(t.Context(), two.Client, id) })
	}
	began := time.Now()
	one.Signal(t, syscall.SIGSTOP)
	took := w.awaitCalls(t, 2, streams).Sub(began)
	t.Logf("the last call was taken over after %v", took)
	if took > takeoverLimit {
		t.Errorf("the last call was taken over after %v, want %v", took, takeoverLimit)
	}
	one.Signal(t, syscall.SIGCONT)
	w.Disrupt("pause", began)
	load.Followed()
	w.servers = []*Server{two, one}
	w.settled(t, time.Minute)
	for _, id := range ids {
		if e, _, err := one.Get(t.Context(), id, 0, ""); err != nil || e.GetAttempt() != 2 {
			t.Errorf("the worker that was paused knows %v, %v", e, err)
		}
	}
	w.verdict(t)
}
