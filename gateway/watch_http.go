package gateway

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// serveWatch is WatchExecution over HTTP: one JSON object a line, or the same objects as server-sent events, each sent at once. An error before
// the first of them is an answer of its own; later it is a last one {"error": {code, message, details}}, because a connection that breaks off could
// be a network's fault.
func (g *Gateway) serveWatch(w http.ResponseWriter, r *http.Request) {
	const method = ignitev1.ComputeService_WatchExecution_FullMethodName
	out := newWatchAnswer(w, r)
	defer out.pulse.stop()
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		if _, events := out.form.(serverEvents); events && r.Header.Get(lastEventID) == endEvent {
			w.WriteHeader(http.StatusNoContent) // which tells a browser not to come again
			return nil
		}
		request, err := out.form.read(r)
		if err != nil {
			return err
		}
		if err := g.service.watch(ctx, request, out.frame); err != nil {
			return err
		}
		return out.write(out.form.end())
	})
	f, failed := errors.AsType[*fault](err)
	switch {
	case !failed:
	case out.begun:
		out.failed(f)
	default:
		writeError(w, f)
	}
}

// watchForm is how a watch is written over HTTP, and how its caller says where to begin.
type watchForm interface {
	contentType() string
	read(r *http.Request) (*ignitev1.WatchExecutionRequest, error)
	// frame and failed have the JSON object in them.
	frame(m *ignitev1.WatchExecutionResponse, text []byte) []byte
	failed(text []byte) []byte
	heartbeat() []byte
	end() []byte
}

// watchAnswer writes a watch.
type watchAnswer struct {
	w       http.ResponseWriter
	flusher *http.ResponseController
	form    watchForm
	pulse   pulse
	// begun is set with the first frame.
	begun bool
}

func newWatchAnswer(w http.ResponseWriter, r *http.Request) *watchAnswer {
	out := &watchAnswer{w: w, flusher: http.NewResponseController(w), form: jsonLines{}}
	if wantsEvents(r.Header) {
		out.form = serverEvents{}
	}
	out.pulse.beat = func() error { return out.flush(out.form.heartbeat()) }
	return out
}

// wantsEvents reports whether the caller takes server-sent events.
func wantsEvents(header http.Header) bool {
	for _, line := range header["Accept"] {
		for media := range strings.SplitSeq(line, ",") {
			if name, _, err := mime.ParseMediaType(media); err == nil && name == eventStream {
				return true
			}
		}
	}
	return false
}

func (a *watchAnswer) frame(m *ignitev1.WatchExecutionResponse) error {
	text, err := encoding.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	a.begin()
	return a.write(a.form.frame(m, text))
}

// begin sends the head, once.
func (a *watchAnswer) begin() {
	if a.begun {
		return
	}
	a.begun = true
	a.w.Header().Set("Content-Type", a.form.contentType())
	a.w.Header().Set("Cache-Control", "no-store")
	a.w.Header().Set("X-Accel-Buffering", "no") // some proxies would wait for more
	a.w.WriteHeader(http.StatusOK)
	a.pulse.start()
}

func (a *watchAnswer) write(text []byte) error {
	return a.pulse.do(func() error { return a.flush(text) })
}

func (a *watchAnswer) flush(text []byte) error {
	if _, err := a.w.Write(text); err != nil {
		return left(err)
	}
	return left(a.flusher.Flush())
}

func (a *watchAnswer) failed(f *fault) {
	if f.code == codes.Canceled {
		return
	}
	text, err := errorEncoding.Marshal(f.GRPCStatus().Proto())
	if err == nil {
		_ = a.write(a.form.failed([]byte(`{"error":` + string(text) + `}`))) // a watcher who left needs no error
	}
}

// jsonLines is one JSON object a line. Its heartbeat is an empty line, which readers of JSON lines skip.
type jsonLines struct{}

func (jsonLines) contentType() string { return "application/x-ndjson" }

func (jsonLines) read(r *http.Request) (*ignitev1.WatchExecutionRequest, error) {
	request := &ignitev1.WatchExecutionRequest{}
	err := readQuery(request, r.URL.Query())
	request.ExecutionId = r.PathValue("execution_id")
	return request, err
}

func (jsonLines) frame(_ *ignitev1.WatchExecutionResponse, text []byte) []byte {
	return append(text, '\n')
}

func (jsonLines) failed(text []byte) []byte { return append(text, '\n') }

func (jsonLines) heartbeat() []byte { return []byte("\n") }

func (jsonLines) end() []byte { return nil }

const (
	eventStream = "text/event-stream"
	// lastEventID is what a browser sends when it connects again: the id of the last event that had one.
	lastEventID = "Last-Event-Id"
	// endEvent is the name and the id of the last event.
	endEvent = "end"
)

// serverEvents are server-sent events (WHATWG HTML, 9.2). Those with a chunk of output have an id, from which a browser
// goes on by itself; after the last event it would begin anew for ever, and is told not to.
type serverEvents struct{}

func (serverEvents) contentType() string { return eventStream }

func (serverEvents) read(r *http.Request) (*ignitev1.WatchExecutionRequest, error) {
	request, err := jsonLines{}.read(r)
	last := r.Header.Get(lastEventID)
	if err != nil || last == "" {
		return request, err
	}
	attempt, index, ok := parseEventID(last)
	if !ok {
		return request, badField(lastEventID, "is no id of an event of this API")
	}
	request.FromAttempt, request.FromChunk = attempt, index+1
	return request, nil
}

func eventID(attempt uint32, index int64) string { return fmt.Sprintf("%d.%d", attempt, index) }

// parseEventID answers the chunk that an event was about.
func parseEventID(id string) (attempt uint32, index int64, ok bool) {
	before, after, _ := strings.Cut(id, ".")
	number, err := strconv.ParseUint(before, 10, 32)
	if err != nil || number == 0 {
		return 0, 0, false
	}
	index, err = strconv.ParseInt(after, 10, 63)
	if err != nil || index < 0 || eventID(uint32(number), index) != id {
		return 0, 0, false
	}
	return uint32(number), index, true
}

func (serverEvents) frame(m *ignitev1.WatchExecutionResponse, text []byte) []byte {
	switch {
	case m.GetExecution() != nil:
		return event("execution", "", text)
	case m.GetNewAttempt():
		return event("attempt", "", text)
	default:
		return event("chunk", eventID(m.GetAttempt(), m.GetChunkIndex()), text)
	}
}

func (serverEvents) failed(text []byte) []byte { return event("error", "", text) }

func (serverEvents) heartbeat() []byte { return []byte(":\n\n") }

func (serverEvents) end() []byte { return event(endEvent, endEvent, []byte("{}")) }

// event is one event. JSON has no line breaks in it.
func event(name, id string, data []byte) []byte {
	text := "event: " + name + "\n"
	if id != "" {
		text += "id: " + id + "\n"
	}
	return append(append([]byte(text+"data: "), data...), '\n', '\n')
}
