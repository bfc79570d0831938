package engine

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dodil.io/ignite/store"
)

// audit hears of every record that is stored.
type audit struct {
	heard chan struct{}

	mu sync.Mutex
	// ends are the revisions of each record that were terminal.
	ends map[string][]uint64
}

func newAudit(t *testing.T, conn *nats.Conn) *audit {
	t.Helper()
	a := &audit{heard: make(chan struct{}, 1), ends: make(map[string][]uint64)}
	sub, err := conn.Subscribe("ignite.watch.*.state", func(m *nats.Msg) {
		if err := a.hear(m); err != nil {
			t.Errorf("state %s: %v", m.Subject, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *audit) hear(m *nats.Msg) error {
	revision, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return err
	}
	head, _, _ := strings.Cut(string(m.Data), "\n")
	var record store.Execution
	if err := json.Unmarshal([]byte(head), &record); err != nil {
		return err
	}
	a.mu.Lock()
	if record.Status.Terminal() {
		a.ends[record.ID] = append(a.ends[record.ID], revision)
	}
	a.mu.Unlock()
	signal(a.heard)
	return nil
}

func (a *audit) endsOf(id string) []uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.ends[id])
}

// await waits until about as many records were stored as events says, or for most.
func (a *audit) await(events int, most time.Duration) {
	over := time.After(most)
	for range events {
		select {
		case <-a.heard:
		case <-over:
			return
		}
	}
}
