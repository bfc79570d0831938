package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// readChunks and readBytes bound one batch, and so what a watcher holds while its reader is slow. A
	// batch has at least one chunk, whatever its size.
	readChunks = 64
	readBytes  = 64 << 10
	// concurrentReads bounds the batches under way: after a lost connection every watcher reads again at once.
	concurrentReads = 16
	// silence is how long a batch under way may stand still.
	silence = 2 * time.Second

	statusNone = "404"
	statusEnd  = "204"
)

// reader reads stored output in batches, by JetStream's direct get. All batches share one subscription: one each, with
// the buffer that the client gives it, would cost more than all the rest.
type reader struct {
	conn  *nats.Conn
	inbox string
	sub   *nats.Subscription
	slots chan struct{}

	mu      sync.Mutex
	count   uint64
	batches map[string]chan *nats.Msg
}

// newReader listens for the answers; the caller closes it.
func newReader(conn *nats.Conn) (*reader, error) {
	r := &reader{
		conn:    conn,
		inbox:   conn.NewInbox() + ".",
		slots:   make(chan struct{}, concurrentReads),
		batches: make(map[string]chan *nats.Msg),
	}
	sub, err := conn.Subscribe(r.inbox+"*", r.receive)
	if err != nil {
		return nil, err
	}
	r.sub = sub
	return r, nil
}

// close ignores the error, which says that the connection ended the subscription before.
func (r *reader) close() { _ = r.sub.Unsubscribe() }

// directGet is JetStream's request for stored messages. Without Batch it asks for one.
type directGet struct {
	Sequence uint64 `json:"seq,omitempty"`
	Next     string `json:"next_by_subj,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// read answers the next chunks of execution stored after sequence, and whether there are more.
func (r *reader) read(ctx context.Context, execution string, sequence uint64) ([]stored, bool, error) {
	return r.get(ctx, execution, directGet{
		Sequence: sequence + 1,
		Next:     executionOutput(execution),
		Batch:    readChunks,
		MaxBytes: readBytes,
	})
}

// first answers the first chunk of an attempt that is stored at sequence or after it.
func (r *reader) first(ctx context.Context, execution string, attempt uint32, sequence uint64) (chunk stored, found bool, err error) {
	return r.one(ctx, execution, directGet{Sequence: sequence, Next: outputSubject(execution, attempt)})
}

// last answers the chunk of an attempt that was stored last.
func (r *reader) last(ctx context.Context, execution string, attempt uint32) (chunk stored, found bool, err error) {
	return r.one(ctx, execution, directGet{Last: outputSubject(execution, attempt)})
}

func (r *reader) one(ctx context.Context, execution string, request directGet) (stored, bool, error) {
	chunks, _, err := r.get(ctx, execution, request)
	if err != nil || len(chunks) == 0 {
		return stored{}, false, err
	}
	return chunks[0], true, nil
}

// get answers what request asks for, and whether there is more.
func (r *reader) get(ctx context.Context, execution string, request directGet) ([]stored, bool, error) {
	chunks, more, err := r.getBatch(ctx, execution, request)
	if err != nil {
		return nil, false, fmt.Errorf("read output of %s: %w", execution, err)
	}
	return chunks, more, nil
}

func (r *reader) getBatch(ctx context.Context, execution string, request directGet) ([]stored, bool, error) {
	if !r.conn.IsConnected() {
		return nil, false, fmt.Errorf("%w: not connected", ErrUnavailable)
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	data, err := json.Marshal(request)
	if err != nil {
		return nil, false, err
	}
	reply, answers := r.begin()
	defer r.end(reply)
	if err := r.conn.PublishRequest("$JS.API.DIRECT.GET."+outputStream, reply, data); err != nil {
		return nil, false, translate(ctx, err)
	}
	return gatherChunks(ctx, execution, answers, request.Batch == 0)
}

// begin opens a batch; there is room for all its chunks and its end.
func (r *reader) begin() (reply string, answers chan *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	reply = r.inbox + strconv.FormatUint(r.count, 10)
	answers = make(chan *nats.Msg, readChunks+1)
	r.batches[reply] = answers
	return reply, answers
}

func (r *reader) end(reply string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.batches, reply)
}

// receive runs on the subscription's goroutine. An answer that nobody waits for any longer is dropped.
func (r *reader) receive(answer *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answers, ok := r.batches[answer.Subject]; ok {
		trySend(answers, answer)
	}
}

// gatherChunks takes a batch for complete only if its end was heard and says so; one message has no end.
func gatherChunks(ctx context.Context, execution string, answers <-chan *nats.Msg, one bool) ([]stored, bool, error) {
	var chunks []stored
	still := time.NewTimer(silence)
	defer still.Stop()
	for {
		var answer *nats.Msg
		select {
		case answer = <-answers:
			still.Reset(silence)
		case <-still.C:
			return nil, false, fmt.Errorf("%w: no answer", ErrUnavailable)
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
		if status := answer.Header.Get("Status"); status != "" {
			more, err := batchEnd(status, answer)
			return chunks, more, err
		}
		chunk, err := storedChunk(execution, answer)
		if err != nil {
			return nil, false, err
		}
		chunks = append(chunks, chunk)
		if one {
			return chunks, false, nil
		}
	}
}

func storedChunk(execution string, answer *nats.Msg) (stored, error) {
	subject := answer.Header.Get(jetstream.SubjectHeader)
	attempt, ok := parseOutput(subject, execution)
	if !ok {
		return stored{}, fmt.Errorf("%w: %q is no subject of its output", ErrInvalid, subject)
	}
	return parseStored(execution, attempt, answer.Header, answer.Data)
}

// batchEnd reports whether the stream has more.
func batchEnd(status string, answer *nats.Msg) (more bool, err error) {
	switch status {
	case statusNone:
		return false, nil
	case statusEnd:
		return answer.Header.Get("Nats-Num-Pending") != "0", nil
	}
	text := strings.TrimSpace(status + " " + answer.Header.Get("Description"))
	return false, fmt.Errorf("%w: batch ended with %s", ErrUnavailable, text)
}
