package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/stream/embed"
)

// The records as they are stored, which no API can make look better than they are.
const (
	recordStream  = "KV_ignite_executions"
	recordChanges = "ignite.watch.*.state"
)

// record is as much of a stored one as matters here.
type record struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	Attempt      int    `json:"attempt"`
	ResultObject string `json:"result_object"`
	Revision     uint64 `json:"-"`
}

func (r record) terminal() bool { return r.Status != "pending" && r.Status != "running" }

// connect is there as often as the servers are, until the test ends.
func connect(t *testing.T, urls string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(urls, nats.Name("fault"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(20*time.Millisecond, 0), nats.PingInterval(2*time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// observe notes every change of a record in the ledger while conn is connected.
func observe(t *testing.T, conn *nats.Conn, l *Ledger) {
	t.Helper()
	subscription, err := conn.Subscribe(recordChanges, func(m *nats.Msg) {
		revision, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
		if err != nil {
			l.Fault("a change of a record says no revision: %v", err)
			return
		}
		if r, err := decodeRecord(m.Data, revision); err != nil {
			l.Fault("a change of a record cannot be read: %v", err)
		} else {
			l.Sight(r.ID, r.Revision, r.terminal())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := subscription.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
}

// decodeRecord reads the JSON that a record begins with; the result's bytes follow.
func decodeRecord(data []byte, revision uint64) (record, error) {
	r := record{Revision: revision}
	err := json.NewDecoder(bytes.NewReader(data)).Decode(&r)
	return r, err
}

// records reads all that are stored.
func records(ctx context.Context, conn *nats.Conn) (map[string]record, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, recordStream)
	if err != nil {
		return nil, err
	}
	found := map[string]record{}
	if stream.CachedInfo().State.Msgs == 0 {
		return found, nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	for {
		message, err := messages.Next(jetstream.NextMaxWait(5 * time.Second))
		if err != nil {
			return nil, err
		}
		meta, err := message.Metadata()
		if err != nil {
			return nil, err
		}
		r, err := decodeRecord(message.Data(), meta.Sequence.Stream)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", message.Subject(), err)
		}
		found[r.ID] = r
		if meta.NumPending == 0 {
			return found, nil
		}
	}
}

// sightAll notes every stored record in the ledger.
func sightAll(ctx context.Context, conn *nats.Conn, l *Ledger) error {
	found, err := records(ctx, conn)
	for _, r := range found {
		l.Sight(r.ID, r.Revision, r.terminal())
	}
	return err
}

// autopsy reads the records of a server that was killed, from a copy of what it left on disk: what it wrote last nobody was told.
func autopsy(t *testing.T, s *Server, l *Ledger) {
	t.Helper()
	dir := t.TempDir()
	stream := filepath.Join("jetstream", "$G", "streams", recordStream)
	if err := os.CopyFS(filepath.Join(dir, stream), os.DirFS(filepath.Join(s.dir, "nats", stream))); err != nil {
		t.Fatal(err)
	}
	server, err := embed.Open(t.Context(), embed.Options{StoreDir: dir, Sync: embed.SyncInterval})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Connect("autopsy")
	if err != nil {
		t.Fatal(err)
	}
	err = sightAll(t.Context(), conn, l)
	conn.Close()
	if err := errors.Join(err, server.Close(t.Context()), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
}

var executionID = regexp.MustCompile(`exec_[0-9A-Z]{26}`)

// leftovers says what is there and should not be once nothing is under way.
func leftovers(ctx context.Context, conn *nats.Conn) error {
	if !conn.IsConnected() {
		return errors.New("not connected")
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	found, err := records(ctx, conn)
	if err != nil {
		return err
	}
	var left []error
	for id, r := range found {
		if !r.terminal() {
			left = append(left, fmt.Errorf("%s is %s in attempt %d", id, r.Status, r.Attempt))
		}
	}
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		if err := leftIn(ctx, js, info, found); err != nil {
			left = append(left, fmt.Errorf("stream %s: %w", info.Config.Name, err))
		}
	}
	return errors.Join(append(left, streams.Err())...)
}

// leftIn says what is left in one stream.
func leftIn(ctx context.Context, js jetstream.JetStream, info *jetstream.StreamInfo, found map[string]record) error {
	name := info.Config.Name
	switch {
	case strings.HasPrefix(name, "IGNITE_WORK_"), name == "IGNITE_LATER":
		if n := info.State.Msgs; n > 0 {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	case name == "IGNITE_PAYLOADS", name == "IGNITE_DEADLETTER":
	default:
		return nil
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	full, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return err
	}
	for subject := range full.State.Subjects {
		if !wanted(subject, found[executionID.FindString(subject)]) {
			return fmt.Errorf("%s", subject)
		}
	}
	return nil
}

// wanted reports whether something that is stored beside a record is there with reason: a dead letter and the request of what ended badly, and
// the result that the record names.
func wanted(subject string, r record) bool {
	if strings.Contains(subject, "result") {
		return r.ResultObject != "" && strings.Contains(subject, token(r.ResultObject))
	}
	return r.Status == "failed" || r.Status == "timeout"
}

// token is the name of a payload as it is written in a subject.
func token(name string) string { return strings.ReplaceAll(name, ".", "=") }
