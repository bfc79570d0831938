package engine

import (
	"math/rand/v2"
	"testing"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

// world is an installation to which things happen.
type world struct {
	t      *testing.T
	random *rand.Rand
	server *streamtest.Server
	audit  *audit
	stage  *stage
	// gateway is what gateways have: they come and go without leaving anything in memory. Its engine never runs.
	gateway *process
	engines []*member
	// born counts the engines that there were, lost those that were killed or stood still.
	born, lost int
	requests   []*request
	// happened counts the steps, ended the executions, by kind.
	happened, ended map[string]int
}

const (
	// crowd is how many engines there are.
	crowd = 3
	// worldAckWait is how long an engine must stand still to lose its work.
	worldAckWait = 400 * time.Millisecond
	// worldReapAfter is far longer than a submission takes here.
	worldReapAfter = 5 * time.Second
	// mostOff is how wrong a clock may be.
	mostOff = 2 * time.Second
)

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		t:        t,
		random:   rand.New(rand.NewPCG(seed, seed)),
		server:   streamtest.Start(t),
		stage:    newStage(),
		happened: make(map[string]int),
		ended:    make(map[string]int),
	}
	w.gateway = newPatientProcess(t, w.server, w.stage, Config{Worker: "gateway"}, worldAckWait)
	w.gateway.publish(t, store.Config{MaxConcurrency: 8})
	w.audit = newAudit(t, w.server.Connect(t))
	for range crowd {
		w.engines = append(w.engines, w.newMember())
	}
	return w
}

// step lets one thing happen and then the engines go on for a moment.
func (w *world) step() {
	steps := []struct {
		weight int
		name   string
		happen func()
	}{
		{60, "submit", w.submit},
		{10, "cancel", w.cancel},
		{8, "release", func() { w.stage.release() }},
		{6, "take a job", w.takeJob},
		{6, "kill", w.kill},
		{8, "pause", w.pause},
		{6, "go on", func() { w.goOn(1) }},
		{3, "stop", w.stopOne},
		{4, "delete consumers", w.deleteConsumers},
		{4, "reconnect", w.reconnect},
		{6, "clock", w.jump},
		{4, "reap", w.reap},
		{2, "restart NATS", w.restart},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	at := w.random.IntN(total)
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			w.happened[s.name]++
			s.happen()
			break
		}
	}
	w.audit.await(w.random.IntN(4), 20*time.Millisecond)
}

// reap looks for what is lost, however young it is: nobody submits in this moment, so what was accepted must be found not lost.
func (w *world) reap() {
	r := &reaper{worker: w.gateway.engine.worker, after: time.Nanosecond, limit: patience}
	r.twice(w.t.Context())
}

// calm ends what is out of the ordinary, so that all that is left is for the engines to finish.
func (w *world) calm() {
	for _, m := range w.engines {
		m.goOn()
		m.off.Store(0)
	}
	w.stage.releaseForGood()
}

// chance is true in so many of a hundred cases.
func (w *world) chance(percent int) bool { return w.random.IntN(100) < percent }

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }

// count keeps figures of how executions ended.
func (w *world) count(r *request, record store.Execution) {
	how := string(record.Status)
	if record.Error != nil {
		how += " " + record.Error.Code
	}
	if !r.accepted {
		how += ", not accepted"
	}
	w.ended[how]++
	w.ended["attempts"] += int(record.Attempt)
	w.ended["failures of the platform"] += int(record.PlatformFailures)
}

// tell prints what happened, so that a run in which nothing did is seen.
func (w *world) tell() {
	w.t.Logf("steps %v, ends %v, calls of pods %d", w.happened, w.ended, w.stage.calls())
	if w.ended[string(store.Completed)] == 0 {
		w.t.Error("nothing was completed")
	}
}
