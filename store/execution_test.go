package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

func newExecution() store.Execution {
	return store.Execution{
		ID: store.NewExecutionID(), Org: "caller.org", App: hello,
		Version: 3, Tier: store.TierSmall, CreatedAt: time.Now().UTC(),
	}
}

func createExecution(t testing.TB, s *store.Store) store.Execution {
	t.Helper()
	e, err := s.CreateExecution(t.Context(), newExecution())
	if err != nil {
		t.Fatalf("create execution: %v", err)
	}
	return e
}

func TestExecutionFromStartToEnd(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	created := createExecution(t, s)
	if created.Status != store.Pending || created.Revision == 0 {
		t.Errorf("created %+v", created)
	}
	running, err := other.Execution(t.Context(), created.Org, created.ID)
	if err != nil {
		t.Fatal(err)
	}
	running.Status, running.Attempt, running.Worker = store.Running, 1, "w1"
	if running, err = other.UpdateExecution(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	ended := running
	ended.Status, ended.ResponseStatus = store.Completed, 200
	ended.ResponseHeader = http.Header{"X-Two": {"a", "b"}}
	ended.Result = []byte("first line\nsecond \x00\xff line\n")
	if ended, err = other.UpdateExecution(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(ended.ExpiresAt); left < 71*time.Hour || left > 72*time.Hour {
		t.Errorf("expires in %v, want 72h by default", left)
	}
	read, err := s.Execution(t.Context(), created.Org, created.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read.Result, ended.Result) {
		t.Errorf("result is %q, want %q", read.Result, ended.Result)
	}
	gotJSON, _ := json.Marshal(read)
	wantJSON, _ := json.Marshal(ended)
	if !bytes.Equal(gotJSON, wantJSON) || read.Revision != ended.Revision {
		t.Errorf("read %s at %d\nwant %s at %d", gotJSON, read.Revision, wantJSON, ended.Revision)
	}
	if result, err := s.Result(t.Context(), read); err != nil || !bytes.Equal(result, ended.Result) {
		t.Errorf("result is %q, %v", result, err)
	}
}

func TestCreateExecutionRefuses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	created := createExecution(t, s)
	_, err := s.CreateExecution(t.Context(), created)
	wantError(t, err, store.ErrExists)
	for _, alter := range []func(*store.Execution){
		func(e *store.Execution) { e.ID = "exec_x" },
		func(e *store.Execution) { e.Org = "*" },
		func(e *store.Execution) { e.App.Name = "" },
	} {
		e := newExecution()
		alter(&e)
		_, err := s.CreateExecution(t.Context(), e)
		wantError(t, err, store.ErrInvalidName)
	}
}

func TestExecutionNotFound(t *testing.T) {
	t.Parallel()
	s := setup(t)
	created := createExecution(t, s)
	for _, test := range []struct{ org, id string }{
		{"caller.org", store.NewExecutionID()},
		{"other", created.ID},
		{"*", created.ID},
		{"caller.org", "*"},
		{"caller.org", ">"},
		{"", ""},
	} {
		_, err := s.Execution(t.Context(), test.org, test.id)
		wantError(t, err, store.ErrNotFound)
	}
}

// Of all who take the same record one wins, and the others learn that they did not.
func TestUpdateExecutionByManyAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	created := createExecution(t, s)
	won := make(chan string, 10)
	var group sync.WaitGroup
	for i := range cap(won) {
		group.Go(func() {
			next := created
			next.Status, next.Attempt, next.Worker = store.Running, 1, string(rune('a'+i))
			switch _, err := s.UpdateExecution(t.Context(), next); {
			case err == nil:
				won <- next.Worker
			case !errors.Is(err, store.ErrConflict):
				t.Error(err)
			}
		})
	}
	group.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d took the record, want 1", len(won))
	}
	read, err := s.Execution(t.Context(), created.Org, created.ID)
	if winner := <-won; err != nil || read.Worker != winner {
		t.Errorf("record is held by %q, %v; want %q", read.Worker, err, winner)
	}
}

func TestRecordTooLarge(t *testing.T) {
	t.Parallel()
	s := setup(t)
	e := createExecution(t, s)
	e.Status, e.Attempt = store.Running, 1
	e, err := s.UpdateExecution(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	e.Status = store.Completed
	fits := e
	e.ResponseHeader = http.Header{"X-Long": {strings.Repeat("x", 1<<20)}}
	_, err = s.UpdateExecution(t.Context(), e)
	wantError(t, err, store.ErrTooLarge)
	fits.Result = make([]byte, store.MaxInline)
	if _, err := s.UpdateExecution(t.Context(), fits); err != nil {
		t.Errorf("largest inline result: %v", err)
	}
}

func TestTerminalRecordExpires(t *testing.T) {
	t.Parallel()
	s := open(t, streamtest.Start(t), store.Options{Retention: time.Second})
	ended, waiting := createExecution(t, s), createExecution(t, s)
	ended.Status = store.Failed
	ended, err := s.UpdateExecution(t.Context(), ended)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		_, err := s.Execution(t.Context(), ended.Org, ended.ID)
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("record did not expire: %v", err)
		}
	}
	if time.Now().Before(ended.ExpiresAt.Add(-50 * time.Millisecond)) {
		t.Errorf("record is gone at %v, before %v", time.Now().UTC(), ended.ExpiresAt)
	}
	if _, err := s.Execution(t.Context(), waiting.Org, waiting.ID); err != nil {
		t.Errorf("record that has not ended: %v", err)
	}
}

// A writer who has stored a large result says when both leave.
func TestTerminalRecordExpiresWhenItsWriterSaid(t *testing.T) {
	t.Parallel()
	s := open(t, streamtest.Start(t), store.Options{Retention: time.Hour})
	ended := createExecution(t, s)
	said := time.Now().Add(time.Second)
	ended.Status, ended.ExpiresAt = store.Failed, said
	ended, err := s.UpdateExecution(t.Context(), ended)
	if err != nil {
		t.Fatal(err)
	}
	if !ended.ExpiresAt.Equal(said) {
		t.Errorf("it says that it leaves at %v, not %v", ended.ExpiresAt, said)
	}
	for deadline := time.Now().Add(patience); ; {
		_, err := s.Execution(t.Context(), ended.Org, ended.ID)
		if errors.Is(err, store.ErrNotFound) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("record did not expire: %v", err)
		}
	}
}

// When new executions are refused for lack of room, those that run can still store their end.
func TestRoomIsKeptForResults(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	s := open(t, streamtest.Start(t), store.Options{MaxBytes: size})
	first := createExecution(t, s)
	first.Status, first.Attempt = store.Running, 1
	first, err := s.UpdateExecution(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	filler := newExecution()
	filler.Error = &store.ExecutionError{Message: strings.Repeat("x", 100<<10)}
	for left := size / (100 << 10); err == nil && left > 0; left-- {
		filler.ID = store.NewExecutionID()
		_, err = s.CreateExecution(t.Context(), filler)
	}
	wantError(t, err, store.ErrFull)
	first.Status, first.Result = store.Completed, make([]byte, 100<<10)
	if _, err := s.UpdateExecution(t.Context(), first); err != nil {
		t.Errorf("end of a running execution: %v", err)
	}
}

// The bucket is made as a stream; the tools of NATS know it as a key-value bucket all the same.
func TestExecutionsAreKeyValues(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	e := createExecution(t, open(t, server, store.Options{}))
	js, err := jetstream.New(server.Conn)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), "ignite_executions")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), "caller_org."+e.ID+".acme=hello")
	if err != nil || entry.Revision() != e.Revision || !strings.Contains(string(entry.Value()), e.ID) {
		t.Errorf("entry is %v, %v", entry, err)
	}
}

func TestRecordsAreToldAgain(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{})
	e := newExecution()
	told, err := server.Conn.SubscribeSync("ignite.watch." + e.ID + ".state")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if e, err = s.CreateExecution(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateExecution(t.Context(), e)
	wantError(t, err, store.ErrExists)
	e.Status, e.Attempt = store.Running, 1
	if _, err = s.UpdateExecution(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"status":"pending"`, `"status":"running"`} {
		message, err := told.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(message.Data), want) {
			t.Errorf("told %s, want %s", message.Data, want)
		}
	}
}
