package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/stream/streamtest"
)

const indexPatience = 20 * time.Second

// world does things at random to one bucket, through two Stores of which one keeps what has ended for hours and the other for a second,
// and compares what the index of a third says with what lies in the bucket.
type world struct {
	*testing.T
	random       *rand.Rand
	server       *streamtest.Server
	keeps, drops *Store
	reads        *Store
	records      []Execution
}

func newWorld(t *testing.T) *world {
	server := streamtest.Start(t)
	return &world{
		T: t, random: rand.New(rand.NewPCG(3, 4)), server: server,
		keeps: insideOf(t, server, Options{}),
		drops: insideOf(t, server, Options{Retention: time.Second}),
		reads: insideOf(t, server, Options{}),
	}
}

func insideOf(t testing.TB, server *streamtest.Server, o Options) *Store {
	t.Helper()
	o.Conn = server.Connect(t)
	s, err := Open(t.Context(), o)
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

func (w *world) create() {
	names := []string{"a", "b.c", "d-e"}
	pick := func() string { return names[w.random.IntN(len(names))] }
	e, err := w.keeps.CreateExecution(w.Context(), Execution{
		ID: NewExecutionID(), Org: pick(), App: AppRef{Org: pick(), Name: pick()}, CreatedAt: time.Now().UTC(),
	})
	if err != nil {
		w.Fatal(err)
	}
	w.records = append(w.records, e)
}

// update takes a random record one step on.
func (w *world) update() {
	i := w.random.IntN(len(w.records))
	next := w.records[i]
	through := w.keeps
	if w.random.IntN(2) == 0 {
		through = w.drops
	}
	steps := []Status{Running, Running, Failed, Timeout, Cancelled}
	if next.Status == Running {
		steps = []Status{Pending, Running, Completed, Failed, Timeout, Cancelled}
	}
	if next.Status = steps[w.random.IntN(len(steps))]; next.Status == Running {
		next.Attempt++
	}
	next, err := through.UpdateExecution(w.Context(), next)
	switch {
	case err == nil:
		w.records[i] = next
	case !errors.Is(err, ErrTransition) && !errors.Is(err, ErrConflict): // It has ended, or was deleted.
		w.Fatal(err)
	}
}

// remove deletes a random record as the nats command would, or without any mark.
func (w *world) remove() {
	i := w.random.IntN(len(w.records))
	e := w.records[i]
	key := executionKey(e.Org, e.ID, e.App)
	bucket := w.bucket()
	if w.random.IntN(2) == 0 {
		if err := bucket.Delete(w.Context(), key); err != nil {
			w.Fatal(err)
		}
	} else if err := bucket.Purge(w.Context(), key); err != nil {
		w.Fatal(err)
	}
	w.records = slices.Delete(w.records, i, i+1)
}

// act does so many things at random.
func (w *world) act(times int) {
	w.Helper()
	for range times {
		switch roll := w.random.IntN(20); {
		case roll < 6:
			w.create()
		case roll < 19:
			w.update()
		default:
			w.remove()
		}
	}
}

func (w *world) bucket() jetstream.KeyValue {
	bucket, err := w.keeps.js.KeyValue(w.Context(), executionsBucket)
	if err != nil {
		w.Fatal(err)
	}
	return bucket
}

func (w *world) restart() {
	w.server.Restart(w)
	w.awaitConnections()
}

// awaitConnections returns once all Stores can read and write again.
func (w *world) awaitConnections() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), indexPatience)
	defer cancel()
	for _, s := range []*Store{w.keeps, w.drops, w.reads} {
		for {
			var err error
			for _, stream := range []jetstream.Stream{s.buckets.executions, s.buckets.payloads, s.buckets.idempotency} {
				asking, stop := bounded(ctx)
				_, failed := stream.Info(asking) // which their leader answers
				stop()
				err = cmp.Or(err, failed)
			}
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				w.Fatalf("connection did not come back: %v", err)
			}
		}
	}
}

// scan answers the records that lie in the bucket, read one by one.
func (w *world) scan() map[string]Execution {
	found := map[string]Execution{}
	for sequence := uint64(1); ; sequence++ {
		wanted := request{NextFor: executionSubjects + ">", Sequence: sequence}
		message, err := w.keeps.messageOfLeader(w.Context(), w.keeps.buckets.executions, wanted)
		if errors.Is(err, ErrNotFound) {
			return found
		}
		if err != nil {
			w.Fatal(err)
		}
		if sequence = message.Sequence; len(message.Data) == 0 {
			continue // the mark of a deletion
		}
		e, err := decodeExecution(message.Data)
		if err != nil {
			w.Fatal(err)
		}
		found[e.ID] = e
	}
}

// indexed answers what the index knows.
func (w *world) indexed() map[string]Execution {
	x := w.reads.index
	if err := x.catchUp(w.Context()); err != nil {
		w.Fatal(err)
	}
	x.expire(time.Now())
	x.mu.RLock()
	defer x.mu.RUnlock()
	found := map[string]Execution{}
	for owner, records := range x.owners {
		for id, f := range records.between(firstULID(time.Time{}), lastULID) {
			e := x.execution(owner, id, f)
			e.ExpiresAt = time.Unix(int64(f.expires), 0)
			for _, status := range []Status{Pending, Running, Completed, Failed, Timeout, Cancelled} {
				if setOf(status) == f.status {
					e.Status = status
				}
			}
			found[e.ID] = e
		}
	}
	return found
}

// leaving reports whether a record's time is so near that the bucket may have it and the index not, or the other way round.
func leaving(e Execution) bool {
	return e.Status.Terminal() && time.Until(e.ExpiresAt) < 2*time.Second
}

// miss looks for the records that only the index knows. Those that ended and left between two looks of the index are gone from it afterwards.
func (w *world) miss(indexed, scanned map[string]Execution) {
	w.Helper()
	for id, e := range indexed {
		if _, ok := scanned[id]; ok {
			continue
		}
		if found, err := w.reads.Execution(w.Context(), e.Org, id); err == nil && !found.Status.Terminal() {
			w.Errorf("%s is %s, and no scan has found it", id, found.Status)
		}
	}
}

func (w *world) compare() {
	w.Helper()
	indexed, scanned := w.indexed(), w.scan()
	w.miss(indexed, scanned)
	indexed = w.indexed()
	for id, e := range indexed {
		if _, ok := scanned[id]; !ok && !leaving(e) {
			w.Errorf("the index knows %s, %s, which the bucket does not", id, e.Status)
		}
	}
	for id, want := range scanned {
		got, ok := indexed[id]
		if leaving(want) {
			continue
		}
		if !ok || got.Org != want.Org || got.App != want.App || got.Status != want.Status {
			w.Errorf("the index knows %s as %+v, %t; the bucket as %+v", id, got, ok, want)
		}
		if late := got.ExpiresAt.Sub(want.ExpiresAt); want.Status.Terminal() && (late < 0 || late > 2*time.Second) {
			w.Errorf("the index lets %s go at %v, the bucket at %v", id, got.ExpiresAt, want.ExpiresAt)
		}
	}
	for range 5 {
		w.compareList(scanned)
	}
}

// compareList asks for what fits a filter made at random, in pages of a size made at random.
func (w *world) compareList(scanned map[string]Execution) {
	w.Helper()
	f := ExecutionFilter{Org: "b.c"}
	if w.random.IntN(2) == 0 {
		f.App = AppRef{Org: "a", Name: "b.c"}
	}
	if w.random.IntN(2) == 0 {
		f.Statuses = []Status{Running, Timeout}
	}
	if w.random.IntN(2) == 0 {
		f.From = w.records[w.random.IntN(len(w.records))].CreatedAt
	}
	if w.random.IntN(2) == 0 {
		f.To = w.records[w.random.IntN(len(w.records))].CreatedAt
	}
	var want []string
	for id, e := range scanned {
		if f.fits(e) && !leaving(e) {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	slices.Reverse(want)
	if got := w.list(f, 1+w.random.IntN(30)); !slices.Equal(got, want) {
		w.Errorf("%d records fit %+v, listed are %d", len(want), f, len(got))
	}
}

// fits is the meaning of a filter, said once more. An id says when it was made.
func (f ExecutionFilter) fits(e Execution) bool {
	id, _ := parseExecutionID(e.ID)
	return e.Org == f.Org && (f.App == AppRef{} || f.App == e.App) &&
		(len(f.Statuses) == 0 || slices.Contains(f.Statuses, e.Status)) &&
		(f.From.IsZero() || id.Compare(firstULID(f.From)) >= 0) && (f.To.IsZero() || id.Compare(firstULID(f.To)) < 0)
}

func (w *world) list(f ExecutionFilter, limit int) (ids []string) {
	w.Helper()
	for cursor := ""; ; {
		page, next, err := w.reads.ListExecutions(w.Context(), f, limit, cursor)
		if err != nil {
			w.Fatal(err)
		}
		if next != "" && len(page) != limit {
			w.Errorf("a page of %d records has another behind it, the limit is %d", len(page), limit)
		}
		for _, e := range page {
			if !leaving(e) {
				ids = append(ids, e.ID)
			}
		}
		if next == "" {
			return ids
		}
		cursor = next
	}
}

// What the index knows is what a scan of the bucket finds: after writes of other processes, expiries, deletions and restarts of NATS, at random.
func TestIndexIsTheBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 40 {
		w.create()
	}
	for round := range 12 {
		w.act(100)
		if round%4 == 3 {
			w.restart()
		}
		w.compare()
	}
	w.awaitExpiries()
	w.compare()
	if known, lying := len(w.indexed()), len(w.scan()); known != lying || lying == 0 {
		t.Errorf("the index knows %d records in the end, the bucket has %d", known, lying)
	}
}

// awaitExpiries returns once all has left that was not to stay, and a second more.
func (w *world) awaitExpiries() {
	w.Helper()
	short := func(e Execution) bool { return e.Status.Terminal() && time.Until(e.ExpiresAt) < time.Hour }
	for deadline := time.Now().Add(indexPatience); ; {
		left := w.scan()
		maps.Copy(left, w.indexed())
		maps.DeleteFunc(left, func(_ string, e Execution) bool { return !short(e) })
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("%d records that should have left are still there", len(left))
		}
	}
}

// A bucket that was deleted and made again is another one, whatever its numbers say.
func TestIndexOfABucketMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		w.create()
	}
	w.compare()
	if err := w.keeps.js.DeleteStream(t.Context(), "KV_"+executionsBucket); err != nil {
		t.Fatal(err)
	}
	if len(w.indexedAnew()) != 0 {
		t.Error("the index knows records of the bucket that was deleted")
	}
	for range 20 {
		w.create()
	}
	w.compare()
}

func (w *world) indexedAnew() map[string]Execution {
	w.Helper()
	if _, err := makeStream(w.Context(), w.keeps.js, w.keeps.options, executionsConfig(w.keeps.options)); err != nil {
		w.Fatal(err)
	}
	return w.indexed()
}

// What was given to a reader and lost on the way is read again.
func TestReaderFindsWhatWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		w.create()
	}
	w.compare()
	r := &w.reads.index.reader
	for lost := range 3 {
		for range 5 {
			w.create()
		}
		if lost > 0 { // of the five
			batch, err := r.consumer.Fetch(lost*2, jetstream.FetchMaxWait(time.Second))
			if err != nil {
				t.Fatal(err)
			}
			for message := range batch.Messages() {
				if message == nil {
					t.Fatal("nothing was lost, so nothing is tested")
				}
			}
		}
		w.compare()
	}
	if err := r.stream.DeleteConsumer(t.Context(), r.consumer.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	w.create()
	w.compare()
}

// Many who ask at the same time all get what was acknowledged before they asked.
func TestIndexForManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	failed := make(chan error, 8)
	for range cap(failed) {
		go func() {
			var err error
			defer func() { failed <- err }()
			for range 20 {
				var e Execution
				e, err = w.keeps.CreateExecution(t.Context(), Execution{ID: NewExecutionID(), Org: "acme", App: hello})
				if err != nil {
					return
				}
				var page []Execution
				page, _, err = w.reads.ListExecutions(t.Context(), ExecutionFilter{Org: "acme"}, 100, "")
				if err == nil && !slices.ContainsFunc(page, func(listed Execution) bool { return listed.ID == e.ID }) {
					err = fmt.Errorf("%s was created and is not listed", e.ID)
				}
				if err != nil {
					return
				}
			}
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestIndexWhenServerIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create()
	w.compare()
	w.server.Stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for range 2 {
		if _, _, err := w.reads.ListExecutions(ctx, ExecutionFilter{Org: "a"}, 1, ""); !errors.Is(err, ErrUnavailable) {
			t.Errorf("list: %v, want %v", err, ErrUnavailable)
		}
	}
	if _, err := w.reads.Unfinished(ctx, 0); !errors.Is(err, ErrUnavailable) {
		t.Errorf("unfinished: %v, want %v", err, ErrUnavailable)
	}
	if _, err := w.reads.OrphanedPayloads(ctx, 0); !errors.Is(err, ErrUnavailable) {
		t.Errorf("orphans: %v, want %v", err, ErrUnavailable)
	}
}

// While it is in use the index keeps up by itself, and forgets what has expired.
func TestIndexKeepsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create()
	w.compare()
	w.create()
	ended := w.records[1]
	ended.Status = Cancelled
	if _, err := w.drops.UpdateExecution(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	heard := func() (upTo uint64, records int) {
		x := w.reads.index
		x.turn <- struct{}{}
		upTo = x.reader.upTo
		<-x.turn
		x.mu.RLock()
		defer x.mu.RUnlock()
		for _, timeline := range x.owners {
			for _, leaf := range timeline.leaves {
				records += len(leaf.ids)
			}
		}
		return upTo, records
	}
	for deadline := time.Now().Add(indexPatience); ; {
		if upTo, records := heard(); upTo == 3 && records == 1 {
			return
		}
		if time.Now().After(deadline) {
			upTo, records := heard()
			t.Fatalf("the index came up to %d and knows %d records, want 3 and 1", upTo, records)
		}
	}
}
