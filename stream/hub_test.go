package stream

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"dodil.io/ignite/stream/streamtest"
)

// What the connection had no room for is lost, and nobody knows whose it was: everybody has to read again.
func TestHubOverflow(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	h := newHub(server.Conn)
	flooded, quiet := newWatcher("flooded", position{}), newWatcher("quiet", position{})
	for _, w := range []*watcher{flooded, quiet} {
		leave, err := h.add(t.Context(), watchSubjects(w.execution), w)
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		w.collect()
		w.settled()
	}
	// Nobody reads yet, so all but the first heardAtOnce are dropped.
	for index := range int64(2 * heardAtOnce) {
		tellChunk(t, server.Conn, "flooded", index)
	}
	if err := server.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	closing := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { h.run(closing) })
	for _, w := range []*watcher{flooded, quiet} {
		for lapsed := false; !lapsed; {
			<-w.woken
			news := w.collect()
			lapsed = news.stale && news.record
		}
	}
	close(closing)
	running.Wait()
}

// tellChunk says what JetStream says when it has stored a chunk.
func tellChunk(t *testing.T, conn *nats.Conn, execution string, index int64) {
	t.Helper()
	err := conn.PublishMsg(&nats.Msg{
		Subject: watchPrefix + execution + ".output.1",
		Header:  nats.Header{indexHeader: {strconv.FormatInt(index, 10)}, "Nats-Sequence": {strconv.FormatInt(index+1, 10)}},
		Data:    []byte("x"),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFeedEndsWithItsLastWatcher(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	h := newHub(server.Conn)
	before := server.Conn.NumSubscriptions()
	var leaving []func()
	for range 2 {
		leave, err := h.add(t.Context(), watchSubjects("shared"), newWatcher("shared", position{}))
		if err != nil {
			t.Fatal(err)
		}
		leaving = append(leaving, leave)
	}
	if got := server.Conn.NumSubscriptions() - before; got != 1 {
		t.Errorf("two watchers of one execution have %d subscriptions, want 1", got)
	}
	for _, leave := range leaving {
		leave()
	}
	if got := server.Conn.NumSubscriptions() - before; got != 0 || len(h.feeds) != 0 {
		t.Errorf("%d subscriptions and %d feeds are left", got, len(h.feeds))
	}
}

func TestPosition(t *testing.T) {
	t.Parallel()
	tests := []struct {
		at      position
		attempt uint32
		index   int64
		want    place
	}{
		{position{0, 0}, 1, 0, wanted},
		{position{0, 0}, 1, 1, beyond},
		{position{0, 5}, 3, 5, wanted},
		{position{0, 5}, 3, 4, before},
		{position{2, 5}, 2, 4, before},
		{position{2, 5}, 2, 5, wanted},
		{position{2, 5}, 2, 6, beyond},
		{position{2, 5}, 1, 5, before},
		{position{2, 5}, 3, 0, wanted},
		{position{2, 5}, 3, 5, beyond},
	}
	for _, test := range tests {
		if got := test.at.of(&Chunk{Attempt: test.attempt, Index: test.index}); got != test.want {
			t.Errorf("from %v chunk %d of attempt %d is %d, want %d", test.at, test.index, test.attempt, got, test.want)
		}
	}
}

// A reader that does nothing is handed only so much.
func TestHandOverIsBounded(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 1 << 10, MaxChunk} {
		w := newWatcher("slow", position{})
		w.collect()
		w.settled()
		for index := range int64(1000) {
			w.hear(stored{&Chunk{Attempt: 1, Index: index, Data: make([]byte, size)}, uint64(index + 1)})
		}
		news := w.collect()
		if len(news.ready) == 0 || len(news.ready) > readyChunks || len(news.ready) > 1 && len(news.ready)*size > readyBytes {
			t.Errorf("of chunks of %d bytes %d were handed over", size, len(news.ready))
		}
		if !news.stale {
			t.Errorf("of chunks of %d bytes some were dropped silently", size)
		}
	}
}

func FuzzWork(f *testing.F) {
	f.Add("exec_1", "acme", []byte(`{"envelope":{}}`), []byte("body"))
	f.Add("exec_1", "acme", []byte("\r\n: \x00\xff"), []byte(nil))
	f.Fuzz(func(t *testing.T, execution, owner string, request, body []byte) {
		want := Work{Execution: execution, Owner: owner, App: App{"acme", "hello.world"}, Request: request, Body: body}
		if want.check() != nil {
			return
		}
		got, err := decodeWork(encodeWork(want, workSubject(3, want.App, execution)))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("decoded %q, want %q", got, want)
		}
	})
}

// Whatever stands in the headers, a message is read whole or refused.
func FuzzDecodeWork(f *testing.F) {
	f.Add("4", "acme", []byte("headbody"))
	f.Add("-1", "acme", []byte("headbody"))
	f.Add("9", "", []byte("headbody"))
	f.Fuzz(func(t *testing.T, length, owner string, data []byte) {
		work, err := decodeWork(&nats.Msg{
			Subject: workSubject(0, App{"acme", "hello"}, "exec_1"),
			Header:  nats.Header{requestHeader: {length}, ownerHeader: {owner}},
			Data:    data,
		})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("refused with %v, want ErrInvalid", err)
			}
			return
		}
		if got := len(work.Request) + len(work.Body); got != len(data) {
			t.Errorf("read %d bytes of %d", got, len(data))
		}
	})
}
