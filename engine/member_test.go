package engine

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// member is an engine with a clock and a connection of its own.
type member struct {
	*process
	line     *pausable
	isPaused bool
	// off is how wrong its clock is.
	off *atomic.Int64
}

func (w *world) newMember() *member {
	w.t.Helper()
	w.born++
	m := &member{line: &pausable{Server: w.server}, off: new(atomic.Int64)}
	conn, err := nats.Connect("", nats.InProcessServer(m.line), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		w.t.Fatalf("connect engine: %v", err)
	}
	w.t.Cleanup(conn.Close)
	m.process = newProcessOn(w.t, conn, w.server, w.stage, Config{
		Worker: fmt.Sprintf("engine-%d", w.born), ReapAfter: worldReapAfter, DrainTime: 20 * time.Millisecond,
	}, worldAckWait)
	w.t.Cleanup(m.goOn)
	m.engine.worker.now = func() time.Time { return time.Now().Add(time.Duration(m.off.Load())) }
	m.run()
	return m
}

// kill cuts an engine off for good: to everybody else it is dead, and can clean nothing up.
func (w *world) kill() {
	w.lost++
	n := w.random.IntN(len(w.engines))
	w.engines[n].goOn() // or closing its connection would wait for it
	w.engines[n].conn.Close()
	w.replace(n) // what it does while it is closed reaches nobody
}

// stopOne stops an engine as it should be.
func (w *world) stopOne() { w.replace(w.random.IntN(len(w.engines))) }

func (w *world) replace(n int) {
	w.engines[n].goOn()
	w.engines[n].close(w.t)
	w.engines[n] = w.newMember()
}

// pause lets an engine stand still, with all that it has begun.
func (w *world) pause() {
	w.lost++
	w.engines[w.random.IntN(len(w.engines))].pause()
}

// goOn lets so many of the engines that stand still go on.
func (w *world) goOn(most int) {
	for _, m := range w.engines {
		if m.isPaused && most > 0 {
			m.goOn()
			most--
		}
	}
}

func (m *member) pause() {
	if !m.isPaused {
		m.isPaused = true
		m.line.pause()
	}
}

func (m *member) goOn() {
	if m.isPaused {
		m.isPaused = false
		m.line.goOn()
	}
}

// reconnect lets an engine lose its connection for a moment.
func (w *world) reconnect() {
	m := w.engines[w.random.IntN(len(w.engines))]
	m.goOn()
	_ = m.conn.ForceReconnect() // or it is about to
}

// jump makes a clock wrong.
func (w *world) jump() {
	m := w.engines[w.random.IntN(len(w.engines))]
	m.off.Store(w.random.Int64N(int64(2*mostOff)) - int64(mostOff))
}
