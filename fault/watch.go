package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// Watcher is what one watcher saw of an execution.
type Watcher struct {
	// Connections is 1 if the watcher was never cut off.
	Connections int
	// Output of the last attempt that was seen.
	Output   []byte
	Attempts int
	End      *ignitev1.Execution

	attempt uint32
	next    int64
	// announced: the server said that the attempt begins.
	announced uint32
}

// errOutput says that chunks are missing, came twice, or in the wrong order.
var errOutput = errors.New("output is not complete, in order, once")

// Watch follows id over HTTP to its end. Cut off, it goes on with the chunk after the last one it has.
func (c *Client) Watch(ctx context.Context, id string) (*Watcher, error) {
	w := &Watcher{}
	for {
		err := c.watch(ctx, id, w)
		switch {
		case w.End != nil || errors.Is(err, errOutput):
			return w, err
		case ctx.Err() != nil:
			return w, fmt.Errorf("watch %s: %w, last %w", id, ctx.Err(), err)
		}
		pause(ctx)
	}
}

func (c *Client) watch(ctx context.Context, id string, w *Watcher) error {
	url := c.base + "/v1/ignite/executions/" + id + "/watch"
	if w.attempt > 0 {
		url += fmt.Sprintf("?fromAttempt=%d&fromChunk=%d", w.attempt, w.next)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	answer, err := watchers.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("watch: %s", answer.Status)
	}
	w.Connections++
	lines := json.NewDecoder(answer.Body)
	for w.End == nil {
		var line json.RawMessage
		if err := lines.Decode(&line); err != nil {
			return err
		}
		if err := w.line(line); err != nil {
			return err
		}
	}
	return nil
}

// watchers has no limit of its own: a watch lasts as long as its execution.
var watchers = &http.Client{Transport: &http.Transport{MaxConnsPerHost: 0, IdleConnTimeout: time.Second}}

func (w *Watcher) line(line []byte) error {
	var frame ignitev1.WatchExecutionResponse
	if err := (protojson.UnmarshalOptions{DiscardUnknown: false}).Unmarshal(line, &frame); err != nil {
		return fmt.Errorf("a line of the watch: %w: %s", err, line)
	}
	switch {
	case frame.GetExecution() != nil:
		if terminal(frame.GetExecution().GetStatus()) {
			w.End = frame.GetExecution()
		}
		return nil
	case frame.GetNewAttempt():
		w.announced = frame.GetAttempt()
		return nil
	case frame.GetHeartbeat():
		return nil
	default:
		return w.chunk(&frame)
	}
}

func (w *Watcher) chunk(frame *ignitev1.WatchExecutionResponse) error {
	if frame.GetAttempt() > w.attempt {
		if w.attempt > 0 && w.announced != frame.GetAttempt() {
			return fmt.Errorf("%w: attempt %d follows attempt %d and was not announced", errOutput, frame.GetAttempt(), w.attempt)
		}
		w.attempt, w.next, w.Output = frame.GetAttempt(), 0, nil
		w.Attempts++
	}
	if frame.GetAttempt() != w.attempt || frame.GetChunkIndex() != w.next {
		return fmt.Errorf("%w: got chunk %d of attempt %d, want chunk %d of attempt %d", errOutput, frame.GetChunkIndex(), frame.GetAttempt(), w.next, w.attempt)
	}
	w.next++
	w.Output = append(w.Output, frame.GetOutputChunk()...)
	return nil
}

// complete says whether the output is the result.
func (w *Watcher) complete() error {
	if w.End.GetStatus() == completed && !bytes.Equal(w.Output, w.End.GetResult()) {
		return fmt.Errorf("%w: %d bytes were seen of attempt %d, the result of attempt %d has %d", errOutput,
			len(w.Output), w.attempt, w.End.GetAttempt(), len(w.End.GetResult()))
	}
	return nil
}
