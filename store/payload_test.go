package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

// chunk is the size of the chunks that a payload is stored in.
const chunk = 512 << 10

func wantPayload(t *testing.T, s *store.Store, name string, want []byte) {
	t.Helper()
	got, err := s.Payload(t.Context(), name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("payload %s is %d bytes, %v; want the %d that were put", name, len(got), err, len(want))
	}
}

func wantNoPayload(t *testing.T, s *store.Store, name string) {
	t.Helper()
	_, err := s.Payload(t.Context(), name)
	wantError(t, err, store.ErrNotFound)
}

func putPayload(t *testing.T, s *store.Store, name string, body []byte) {
	t.Helper()
	if err := s.PutPayload(t.Context(), name, body); err != nil {
		t.Fatal(err)
	}
}

func keepPayload(t *testing.T, s *store.Store, name string, body []byte, life time.Duration) {
	t.Helper()
	if err := s.KeepPayload(t.Context(), name, body, time.Now().Add(life)); err != nil {
		t.Fatal(err)
	}
}

// payloadMessages answers how many messages all payloads take.
func payloadMessages(t *testing.T, server *streamtest.Server) uint64 {
	t.Helper()
	js, err := jetstream.New(server.Conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "IGNITE_PAYLOADS")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

func TestPayload(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{})
	const name = "request.exec_x"
	wantNoPayload(t, s, name)
	for _, size := range []int{store.MaxInline + 1, 5<<20 + 7, chunk, 2 * chunk, 0, 1} {
		body := randomBytes(size)
		putPayload(t, s, name, body)
		wantPayload(t, s, name, body)
		keepPayload(t, s, name, body[:size/2], time.Hour)
		wantPayload(t, s, name, body[:size/2])
	}
	if messages := payloadMessages(t, server); messages != 1 {
		t.Errorf("a payload of no bytes takes %d messages, want 1: longer ones left something", messages)
	}
	for range 2 {
		if err := s.DeletePayload(t.Context(), name); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	wantNoPayload(t, s, name)
}

func TestResultOfPayload(t *testing.T) {
	t.Parallel()
	s := setup(t)
	e := store.Execution{ResultObject: "result.exec_x.1"}
	_, err := s.Result(t.Context(), e)
	wantError(t, err, store.ErrNotFound)
	large := randomBytes(store.MaxInline + 1)
	keepPayload(t, s, e.ResultObject, large, time.Hour)
	if result, err := s.Result(t.Context(), e); err != nil || !bytes.Equal(result, large) {
		t.Errorf("result is %d bytes, %v", len(result), err)
	}
}

func TestPayloadNames(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{})
	for _, name := range []string{"", "*", ">", "a b", "a=b", "ä"} {
		wantError(t, s.PutPayload(t.Context(), name, nil), store.ErrInvalidName)
		wantError(t, s.KeepPayload(t.Context(), name, nil, time.Now()), store.ErrInvalidName)
		wantNoPayload(t, s, name)
	}
	putPayload(t, s, "a.b", []byte("first"))
	putPayload(t, s, "a", []byte("second"))
	if err := s.DeletePayload(t.Context(), "*"); err != nil {
		t.Error(err)
	}
	if err := s.DeletePayload(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	wantPayload(t, s, "a.b", []byte("first"))
	wantNoPayload(t, s, "a")
}

// A body of which a chunk is missing, or is one of another body, is not there.
func TestPartialPayload(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{})
	js, err := jetstream.New(server.Conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "IGNITE_PAYLOADS")
	if err != nil {
		t.Fatal(err)
	}
	const name = "request.exec_x"
	subject := func(index int) string { return fmt.Sprintf("ignite.payload.request=exec_x.%d", index) }
	body := randomBytes(3*chunk + 1)
	for index := range 4 {
		putPayload(t, s, name, body)
		if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(subject(index))); err != nil {
			t.Fatal(err)
		}
		wantNoPayload(t, s, name)
	}
	putPayload(t, s, name, body)
	last, err := stream.GetLastMsgForSubject(t.Context(), subject(1))
	if err != nil {
		t.Fatal(err)
	}
	putPayload(t, s, name, bytes.Repeat([]byte("x"), len(body)))
	if _, err := js.Publish(t.Context(), subject(1), last.Data); err != nil {
		t.Fatal(err)
	}
	wantNoPayload(t, s, name)
}

// Whoever stores the same body may do so at the same time, or where another was cut off; it can be read all the while.
func TestSamePayloadByManyAtOnce(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	body := randomBytes(4*chunk + 3)
	putPayload(t, s, "request.exec_x", body)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() { wantPayload(t, s, "request.exec_x", body) })
		group.Go(func() { putPayload(t, other, "request.exec_x", body) })
		group.Go(func() { keepPayload(t, s, "request.exec_x", body, time.Hour) })
	}
	for i := range 4 {
		name, mine := fmt.Sprint("request.", i), randomBytes(chunk*i)
		group.Go(func() {
			putPayload(t, s, name, mine)
			wantPayload(t, other, name, mine)
		})
	}
	group.Wait()
	wantPayload(t, s, "request.exec_x", body)
}

func TestKeptPayloadLeaves(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{})
	body := randomBytes(chunk + 1)
	putPayload(t, s, "request.exec_x", body)
	keepPayload(t, s, "request.exec_x", body, 0) // It is kept a second at least.
	keepPayload(t, s, "result.exec_x", body, time.Hour)
	keepPayload(t, s, "result.exec_y", body, 1500*time.Millisecond)
	expires := time.Now().Add(1500 * time.Millisecond)
	wantPayload(t, s, "request.exec_x", body)
	for deadline := time.Now().Add(patience); ; {
		_, err := s.Payload(t.Context(), "result.exec_y")
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("payload did not leave: %v", err)
		}
	}
	if time.Now().Before(expires) {
		t.Error("a payload left too early")
	}
	wantNoPayload(t, s, "request.exec_x")
	wantPayload(t, s, "result.exec_x", body)
}

// fillPayloads stores kept payloads until there is no room for a chunk.
func fillPayloads(t *testing.T, s *store.Store) (names []string) {
	t.Helper()
	for size := 256 << 10; size > 0; size /= 2 { // to the last byte
		for {
			name := fmt.Sprint("request.", len(names))
			err := s.KeepPayload(t.Context(), name, randomBytes(size), time.Now().Add(time.Hour))
			if errors.Is(err, store.ErrFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	return names
}

func TestFullPayloadsCanBeDeleted(t *testing.T) {
	t.Parallel()
	s := openCapped(t)
	names := fillPayloads(t, s)
	wantError(t, s.PutPayload(t.Context(), "large", nil), store.ErrFull)
	for _, name := range names {
		if err := s.DeletePayload(t.Context(), name); err != nil {
			t.Fatalf("delete one of %d: %v", len(names), err)
		}
	}
	if err := s.PutPayload(t.Context(), "large", randomBytes(700<<10)); err != nil {
		t.Errorf("put after all were deleted: %v", err)
	}
}

// What is stored of a body that is refused can be taken away, and no name is taken by it.
func TestRefusedPayloadIsNoneAndCanBeDeleted(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{MaxBytes: 1 << 20})
	wantError(t, s.PutPayload(t.Context(), "large", randomBytes(4<<20)), store.ErrFull)
	wantNoPayload(t, s, "large")
	if err := s.DeletePayload(t.Context(), "large"); err != nil {
		t.Fatal(err)
	}
	if messages := payloadMessages(t, server); messages != 0 {
		t.Errorf("%d chunks were left of a payload that was refused", messages)
	}
}

// When new requests are refused for lack of room, results can still be stored.
func TestPayloadRoomIsKeptForResults(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	s := open(t, streamtest.Start(t), store.Options{MaxBytes: size})
	var err error
	for i := 0; err == nil; i++ {
		err = s.PutPayload(t.Context(), fmt.Sprint("request.", i), randomBytes(128<<10))
	}
	wantError(t, err, store.ErrFull)
	keepPayload(t, s, "result.exec_x", randomBytes(chunk), time.Hour)
}
