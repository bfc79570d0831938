package engine

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/streamtest"
)

// reaping is a process that does not run, and a reaper of it.
type reaping struct {
	*process
	reaper   *reaper
	registry *prometheus.Registry
	// made counts the records that are old; each is a second younger than the one before.
	made int
}

// newReaping takes what is older than a minute for lost.
func newReaping(t *testing.T, server *streamtest.Server, name string) *reaping {
	t.Helper()
	registry := prometheus.NewRegistry()
	p := newProcess(t, server, http.HandlerFunc(echo), Config{Worker: name, Metrics: registry})
	return &reaping{process: p, reaper: &reaper{worker: p.engine.worker, after: time.Minute, limit: patience}, registry: registry}
}

// twice looks two times: what is missing once may be on its way.
func (r *reaper) twice(ctx context.Context) {
	r.round(ctx)
	r.round(ctx)
}

// old makes a record of an hour ago, and answers it. Its body is not stored.
func (r *reaping) old(t *testing.T, body []byte) store.Execution {
	t.Helper()
	return r.oldSince(t, time.Now().Add(-time.Hour), body)
}

func (r *reaping) oldSince(t *testing.T, created time.Time, body []byte) store.Execution {
	t.Helper()
	r.made++
	id := idOf(time.Now().Add(time.Duration(r.made)*time.Second - time.Hour))
	record, err := r.store.CreateExecution(t.Context(), store.Execution{
		ID: id, Org: caller, App: testApp, Version: 1, CreatedAt: created, RequestObject: objectOf(id, body),
	})
	if err != nil {
		t.Fatalf("create record: %v", err)
	}
	return record
}

func idOf(made time.Time) string {
	return "exec_" + ulid.MustNew(ulid.Timestamp(made), ulid.DefaultEntropy()).String()
}

// taken is the record as a worker leaves it that takes it.
func (r *reaping) taken(t *testing.T, record store.Execution, worker string) store.Execution {
	t.Helper()
	return r.update(t, record, func(e *store.Execution) { e.Status, e.Attempt, e.Worker = store.Running, e.Attempt+1, worker })
}

// waitingAgain is the record as a worker leaves it whose attempt failed.
func (r *reaping) waitingAgain(t *testing.T, record store.Execution) store.Execution {
	t.Helper()
	return r.update(t, r.taken(t, record, "another"), func(e *store.Execution) {
		e.Status, e.Worker, e.DueAt, e.AppFailures = store.Pending, "", time.Now().Add(time.Hour), 1
		e.Error = &store.ExecutionError{Code: codeBroken, Message: "the pod hung up"}
	})
}

func workOf(record store.Execution) stream.Work {
	return stream.Work{Execution: record.ID, Owner: record.Org, App: stream.App{Org: record.App.Org, Name: record.App.Name}, Request: []byte("{}")}
}

// expectLost checks that the record was ended, with a message that holds all words.
func (r *reaping) expectLost(t *testing.T, id string, words ...string) {
	t.Helper()
	e := r.record(t, id)
	expect(t, e, store.Failed, codeLost)
	if e.FinishedAt.IsZero() || e.ExpiresAt.IsZero() || !e.DueAt.IsZero() {
		t.Errorf("record %+v", e)
	}
	for _, word := range words {
		if e.Error != nil && !strings.Contains(e.Error.Message, word) {
			t.Errorf("message %q does not hold %q", e.Error.Message, word)
		}
	}
}

// expectLeftAlone checks that a round changes nothing about the record.
func (r *reaping) expectLeftAlone(t *testing.T, id string) {
	t.Helper()
	before := r.record(t, id)
	r.reaper.twice(t.Context())
	if after := r.record(t, id); after.Revision != before.Revision {
		t.Errorf("record %+v was ended: %+v", before, after)
	}
	expectReaped(t, r.registry, nil)
}

func TestReaperEndsWhatNeverHadWork(t *testing.T) {
	t.Parallel()
	r := newReaping(t, streamtest.Start(t), "reaper")
	body := large(2 * store.MaxInline)
	record := r.old(t, body)
	if err := r.store.PutPayload(t.Context(), record.RequestObject, body); err != nil {
		t.Fatal(err)
	}
	r.reaper.twice(t.Context())
	r.expectLost(t, record.ID, "has not run", "submit it again")
	if _, err := r.store.Payload(t.Context(), record.RequestObject); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its body: %v, want not found", err)
	}
	expectReaped(t, r.registry, map[orphan]float64{recordWithoutWork: 1})
}

// A payload without a record is looked at twice, too.
func TestReaperLooksTwiceForTheRecordOfAPayload(t *testing.T) {
	t.Parallel()
	r := newReaping(t, streamtest.Start(t), "reaper")
	r.reaper.after = time.Nanosecond
	id := store.NewExecutionID()
	body := large(2 * store.MaxInline)
	if err := r.store.PutPayload(t.Context(), objectOf(id, body), body); err != nil {
		t.Fatal(err)
	}
	r.reaper.round(t.Context())
	r.update(t, r.createRecord(t, id, objectOf(id, body)), func(e *store.Execution) { e.Status = store.Failed })
	r.reaper.round(t.Context())
	if _, err := r.store.Payload(t.Context(), objectOf(id, body)); err != nil {
		t.Errorf("payload: %v", err)
	}
	expectReaped(t, r.registry, nil)
}

// Work that is not found once, and is there the next time, is not lost.
func TestReaperLooksTwice(t *testing.T) {
	t.Parallel()
	r := newReaping(t, streamtest.Start(t), "reaper")
	record := r.old(t, nil)
	work := workOf(record)
	pending := func(after string) {
		t.Helper()
		if now := r.record(t, record.ID); now.Status != store.Pending {
			t.Fatalf("after %s it is %s", after, now.Status)
		}
	}
	r.reaper.round(t.Context())
	pending("one look")
	if err := r.stream.Enqueue(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	r.reaper.round(t.Context())
	pending("a look that found work")
	if err := r.stream.Remove(t.Context(), work.App, work.Execution); err != nil {
		t.Fatal(err)
	}
	r.reaper.round(t.Context())
	pending("one look more")
	r.reaper.round(t.Context())
	r.expectLost(t, record.ID)
}

func TestReaperEndsWhatWaitsForNoAttempt(t *testing.T) {
	t.Parallel()
	r := newReaping(t, streamtest.Start(t), "reaper")
	record := r.waitingAgain(t, r.old(t, nil))
	r.reaper.twice(t.Context())
	r.expectLost(t, record.ID, "after attempt 1", codeBroken, "the pod hung up")
	expectReaped(t, r.registry, map[orphan]float64{recordWithoutWork: 1})
}

func TestReaperEndsWhatADeadWorkerHeld(t *testing.T) {
	t.Parallel()
	r := newReaping(t, streamtest.Start(t), "reaper")
	record := r.taken(t, r.old(t, nil), "dead")
	r.reaper.twice(t.Context())
	r.expectLost(t, record.ID, "worker dead", "attempt 1", "may have run")
	expectReaped(t, r.registry, map[orphan]float64{recordWithoutWork: 1})
}

func TestReaperDeletesPayloadsWithoutARecord(t *testing.T) {
	t.Parallel()
	r := newReaping(t, streamtest.Start(t), "reaper")
	r.reaper.after = time.Millisecond
	name := "request." + store.NewExecutionID()
	if err := r.store.PutPayload(t.Context(), name, large(2*store.MaxInline)); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(patience)
	for reaped(t, r.registry)[payloadWithoutRecord] == 0 {
		select {
		case <-time.After(2 * r.reaper.after):
			r.reaper.twice(t.Context())
		case <-deadline:
			t.Fatal("the payload is not found")
		}
	}
	if _, err := r.store.Payload(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("payload: %v, want not found", err)
	}
	r.reaper.twice(t.Context())
	expectReaped(t, r.registry, map[orphan]float64{payloadWithoutRecord: 1})
}

func TestReaperLeavesPayloadsAlone(t *testing.T) {
	t.Parallel()
	r := newReaping(t, streamtest.Start(t), "reaper")
	young, ended := "request."+store.NewExecutionID(), r.old(t, large(2*store.MaxInline))
	ended = r.update(t, ended, func(e *store.Execution) { e.Status = store.Failed })
	for _, name := range []string{young, ended.RequestObject} {
		if err := r.store.PutPayload(t.Context(), name, large(2*store.MaxInline)); err != nil {
			t.Fatal(err)
		}
	}
	r.reaper.twice(t.Context())
	r.reaper.after = time.Millisecond
	if err := r.store.DeletePayload(t.Context(), young); err != nil {
		t.Fatal(err)
	}
	r.reaper.twice(t.Context())
	if _, err := r.store.Payload(t.Context(), ended.RequestObject); err != nil {
		t.Errorf("the body of what ended: %v", err)
	}
	expectReaped(t, r.registry, nil)
}

func TestReaperLeavesAlone(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, r *reaping) store.Execution{
		"work in the queue": func(t *testing.T, r *reaping) store.Execution {
			record := r.old(t, nil)
			r.enqueue(t, record.ID, nil)
			return record
		},
		"work that somebody has, of a worker that does not answer": func(t *testing.T, r *reaping) store.Execution {
			record := r.old(t, nil)
			r.enqueue(t, record.ID, nil)
			r.hold(t)
			return r.taken(t, record, "dead")
		},
		"work for later": func(t *testing.T, r *reaping) store.Execution {
			record := r.old(t, nil)
			r.enqueueLater(t, record, time.Now().Add(time.Hour))
			return record
		},
		"work that is due, which nobody has moved": func(t *testing.T, r *reaping) store.Execution {
			record := r.waitingAgain(t, r.old(t, nil))
			r.enqueueLater(t, record, time.Now())
			return record
		},
		"an end": func(t *testing.T, r *reaping) store.Execution {
			return r.update(t, r.old(t, nil), func(e *store.Execution) { e.Status = store.Failed })
		},
		"a submission under way": func(t *testing.T, r *reaping) store.Execution {
			return r.createRecord(t, store.NewExecutionID(), "")
		},
		"a submission that is repeated under the id of its first try": func(t *testing.T, r *reaping) store.Execution {
			return r.oldSince(t, time.Now(), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReaping(t, streamtest.Start(t), "reaper")
			r.expectLeftAlone(t, prepare(t, r).ID)
		})
	}
}

// hold takes a job as a worker does that says nothing any more.
func (r *reaping) hold(t *testing.T) {
	t.Helper()
	queue, err := r.stream.Queue(t.Context(), stream.App{Org: testApp.Org, Name: testApp.Name})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range queue.Take(t.Context(), 1, patience) {
		if err != nil {
			t.Fatalf("take work: %v", err)
		}
	}
	if err := queue.Close(); err != nil {
		t.Fatal(err)
	}
}

func (r *reaping) enqueueLater(t *testing.T, record store.Execution, due time.Time) {
	t.Helper()
	if err := r.stream.EnqueueLater(t.Context(), workOf(record), due, true); err != nil {
		t.Fatalf("put work off: %v", err)
	}
}

// A worker's work may be deleted under its hands. As long as it answers it will write the end itself.
func TestReaperLeavesToAWorkerWhatItRuns(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	called, release := make(chan struct{}, 1), make(chan struct{})
	worker := newProcess(t, server, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		called <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}), Config{Worker: "worker"})
	worker.publish(t, store.Config{})
	worker.run()
	r := newReaping(t, server, "reaper")
	record := r.old(t, nil)
	r.enqueue(t, record.ID, nil)
	receive(t, called, "call")
	if err := r.stream.Remove(t.Context(), workOf(record).App, record.ID); err != nil {
		t.Fatal(err)
	}
	r.expectLeftAlone(t, record.ID)
	close(release)
	expect(t, worker.untilEnd(t, record.ID), store.Completed, "")
}

// What goes on between the look and the end is not ended.
func TestReaperEndsOnlyWhatItLookedAt(t *testing.T) {
	t.Parallel()
	r := newReaping(t, streamtest.Start(t), "reaper")
	seen := r.old(t, nil)
	now := r.taken(t, seen, "worker")
	if err := r.reaper.end(t.Context(), seen); err != nil {
		t.Errorf("end: %v", err)
	}
	if after := r.record(t, seen.ID); after.Revision != now.Revision {
		t.Errorf("record %+v was written to %+v", now, after)
	}
	expectReaped(t, r.registry, nil)
}

func TestReapersOfSeveralProcessesCountOnce(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	first, second := newReaping(t, server, "first"), newReaping(t, server, "second")
	var ids []string
	for range 20 {
		ids = append(ids, first.old(t, nil).ID)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		second.reaper.twice(t.Context())
	}()
	first.reaper.twice(t.Context())
	<-done
	for _, id := range ids {
		first.expectLost(t, id)
	}
	if n := reaped(t, first.registry)[recordWithoutWork] + reaped(t, second.registry)[recordWithoutWork]; n != 20 {
		t.Errorf("%v were counted, want 20", n)
	}
}

// A round that has no time looks at one record, and the next round at the next.
func TestReaperLooksThroughALongQueueInRounds(t *testing.T) {
	t.Parallel()
	r := newReaping(t, streamtest.Start(t), "reaper")
	r.reaper.limit = 0
	queued := []store.Execution{r.old(t, nil), r.old(t, nil)}
	for _, record := range queued {
		r.enqueue(t, record.ID, nil)
	}
	nowhere := r.old(t, nil)
	for range 3 { // one for each
		r.reaper.round(t.Context())
		expectReaped(t, r.registry, nil)
	}
	r.reaper.round(t.Context()) // and again for what was missed
	r.expectLost(t, nowhere.ID)
}

func TestReaperOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	r := newReaping(t, server, "reaper")
	record := r.old(t, nil)
	server.Stop(t)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r.reaper.round(short)
	server.Resume(t)
	r.untilConnected(t)
	r.reaper.twice(t.Context())
	r.expectLost(t, record.ID)
}

func TestRunningEngineMovesWhatIsDue(t *testing.T) {
	t.Parallel()
	p := start(t, echo, Config{})
	record := p.createRecord(t, store.NewExecutionID(), "")
	work := workOf(record)
	if err := p.stream.EnqueueLater(t.Context(), work, time.Now().Add(50*time.Millisecond), false); err != nil {
		t.Fatal(err)
	}
	expect(t, p.untilEnd(t, record.ID), store.Completed, "")
}

// A repetition of a submission may find the work of the first, and make the record, in the moment in which that work is dropped.
func TestWorkWhoseRecordComesWhileItIsDropped(t *testing.T) {
	t.Parallel()
	var p *process
	id := store.NewExecutionID()
	acknowledged := make(chan Boundary, 10)
	var first atomic.Bool
	p = newProcess(t, streamtest.Start(t), http.HandlerFunc(echo), Config{Reached: func(b Boundary) {
		if b == JobAcknowledged {
			if first.CompareAndSwap(false, true) {
				p.createRecord(t, id, "")
			}
			acknowledged <- b
		}
	}})
	p.engine.worker.now = func() time.Time { return time.Now().Add(time.Hour) }
	p.publish(t, store.Config{})
	p.enqueue(t, id, []byte("late"))
	p.run()
	for range 2 {
		receive(t, acknowledged, "acknowledgement")
	}
	expect(t, p.record(t, id), store.Completed, "")
	p.untilNoWork(t)
}
