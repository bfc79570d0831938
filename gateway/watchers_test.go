package gateway_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// idle is how many callers wait in the tests below, most what the process may hold for each of them.
const idle, most = 2000, 20 << 10

// TestIdleWatchersAreCheap counts what the process holds for each watcher. Its client is bare HTTP/2 and keeps nothing for a stream,
// so what is counted is the server, its NATS included.
func TestIdleWatchersAreCheap(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector keeps memory of its own")
	}
	s := startQuiet(t)
	ids := s.submitMany(t, idle)
	client := dialBare(t, s.conn.Target(), "Bearer "+s.token("acme"))
	client.watch(ids[:1])
	before, consumers := memory(), s.consumers(t)
	client.watch(ids)
	s.wantCheap(t, before, consumers)
}

// Whoever waits for a change with GetExecution is no more.
func TestIdleWaitersAreCheap(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector keeps memory of its own")
	}
	s := startQuiet(t)
	ids := s.submitMany(t, idle)
	client := dialBare(t, s.conn.Target(), "Bearer "+s.token("acme"))
	client.watch(ids[:1])
	before, consumers, listening := memory(), s.consumers(t), s.nats.NumSubscriptions()
	for _, id := range ids {
		request := &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: wait(time.Hour)}
		client.call(ignitev1.ComputeService_GetExecution_FullMethodName, must(proto.Marshal(request)))
	}
	s.until(t, func() bool { return s.nats.NumSubscriptions() == listening+idle })
	s.wantCheap(t, before, consumers)
}

func (s *setup) submitMany(t testing.TB, n int) (ids []string) {
	t.Helper()
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	for range n {
		ids = append(ids, s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}))
	}
	return ids
}

// wantCheap checks what idle callers hold in memory, and that they hold nothing of JetStream.
func (s *setup) wantCheap(t testing.TB, before int64, consumers int) {
	t.Helper()
	each := (memory() - before) / idle
	for range 4 { // those who came last may not be idle yet
		each = min(each, (memory()-before)/idle)
	}
	t.Logf("each of %d callers who wait holds %d bytes", idle, each)
	if each > most {
		t.Errorf("a caller who waits holds %d bytes, more than %d", each, most)
	}
	if now := s.consumers(t); now != consumers {
		t.Errorf("%d consumers are %d more", now, now-consumers)
	}
}

func (s *setup) consumers(t testing.TB) int {
	t.Helper()
	return must(must(jetstream.New(s.nats)).AccountInfo(t.Context())).Consumers
}

// memory is heap and stacks that are in use. Each collection halves stacks that need less, down to what they need.
func memory() int64 {
	var stats runtime.MemStats
	for range 4 {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse + stats.StackInuse)
}

// bare is an HTTP/2 connection that makes gRPC calls.
type bare struct {
	t       testing.TB
	frames  *http2.Framer
	headers bytes.Buffer
	encoder *hpack.Encoder
	token   string
	// next is the number of the next stream; a client has the odd ones.
	next uint32
}

func dialBare(t testing.TB, address, token string) *bare {
	t.Helper()
	conn := must(net.Dial("tcp", address))
	t.Cleanup(func() { _ = conn.Close() })
	b := &bare{t: t, frames: http2.NewFramer(conn, conn), token: token, next: 1}
	b.encoder = hpack.NewEncoder(&b.headers)
	must(conn.Write([]byte(http2.ClientPreface)))
	b.check(b.frames.WriteSettings())
	b.check(b.frames.WriteWindowUpdate(0, 1<<30))
	return b
}

func (b *bare) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// watch begins to watch each of ids, and returns when the first frame of each has come.
func (b *bare) watch(ids []string) {
	b.t.Helper()
	for _, id := range ids {
		b.call(ignitev1.ComputeService_WatchExecution_FullMethodName, must(proto.Marshal(&ignitev1.WatchExecutionRequest{ExecutionId: id})))
		b.awaitData()
	}
}

func (b *bare) call(method string, message []byte) {
	b.t.Helper()
	stream := b.next
	b.next += 2
	b.headers.Reset()
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"},
		{Name: ":path", Value: method},
		{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"}, {Name: "authorization", Value: b.token},
	} {
		b.check(b.encoder.WriteField(field))
	}
	b.check(b.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.headers.Bytes(), EndHeaders: true}))
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	b.check(b.frames.WriteData(stream, true, append(framed, message...)))
}

// awaitData reads up to the next message, and answers what the server asks on the way.
func (b *bare) awaitData() {
	b.t.Helper()
	for {
		frame, err := b.frames.ReadFrame()
		b.check(err)
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				b.check(b.frames.WriteSettingsAck())
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				b.check(b.frames.WritePing(true, frame.Data))
			}
		case *http2.HeadersFrame:
			if frame.StreamEnded() {
				b.t.Fatal("a watch ended")
			}
		case *http2.DataFrame:
			return
		}
	}
}
