package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// position is a place in the output of an execution.
type position struct {
	attempt uint32 // 0 is the first whose output is kept
	chunk   int64
}

// watcher follows one execution. A connection that breaks is made again, and goes on at the chunk that is printed next.
type watcher struct {
	client  *client
	id      string
	waiting *activity

	next    position // of the chunk that is printed next
	printed bool     // of the output of this attempt
	lost    reconnects
	last    *ignitev1.Execution
}

// watchExecution follows an execution to its end and returns nil only if it completed.
func (c *client) watchExecution(ctx context.Context, conn *connection, id string, from position) error {
	bounded, cancel := c.streamContext(ctx)
	defer cancel()
	w := &watcher{client: c, id: id, waiting: c.progress.wait(id), next: from}
	defer w.waiting.stop()
	err := w.follow(bounded, conn)
	w.waiting.stop()
	if err != nil {
		if bounded.Err() != nil {
			c.tell("The execution goes on; follow it again with `ignite execution watch %s%s`.", id, w.next.flags())
		}
		return fmt.Errorf("watch execution %s: %w", id, err)
	}
	return w.conclude()
}

// flags name a position on the command line; the beginning needs none.
func (p position) flags() string {
	if p.chunk == 0 {
		return ""
	}
	return fmt.Sprintf(" --from-chunk %d --from-attempt %d", p.chunk, p.attempt)
}

func (w *watcher) follow(ctx context.Context, conn *connection) error {
	for {
		err := w.followOnce(ctx, conn)
		most := maxReconnects
		if w.last == nil { // there may be no server at all
			most = unhintedRepeats
		}
		switch {
		case err == nil:
			return nil
		case w.lost.again(ctx, err, most):
		case ctx.Err() != nil: // rather than that the connection was away as well
			return status.FromContextError(ctx.Err()).Err()
		default:
			return err
		}
	}
}

func (w *watcher) followOnce(ctx context.Context, conn *connection) error {
	ctx, leave := context.WithCancel(ctx) // a frame that cannot be printed leaves a stream behind
	defer leave()
	stream, err := conn.api.WatchExecution(ctx, &ignitev1.WatchExecutionRequest{
		ExecutionId: w.id, FromAttempt: w.next.attempt, FromChunk: w.next.chunk, Heartbeats: true,
	})
	if err != nil {
		return err
	}
	for {
		frame, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return w.checkEnd()
		case err != nil:
			return err
		}
		w.lost = reconnects{}
		if err := w.take(frame); err != nil {
			return err
		}
	}
}

func (w *watcher) checkEnd() error {
	if !terminal(w.last) {
		return errors.New("the server stopped telling before the execution ended")
	}
	return nil
}

// take prints what is new of a frame. After a connection was made again, the server begins with the record as it is.
func (w *watcher) take(frame *ignitev1.WatchExecutionResponse) error {
	switch {
	case frame.GetHeartbeat():
		return nil
	case frame.GetExecution() != nil:
		return w.takeRecord(frame)
	case frame.GetNewAttempt():
		return w.takeAttempt(frame)
	}
	return w.takeChunk(frame)
}

func (w *watcher) takeRecord(frame *ignitev1.WatchExecutionResponse) error {
	execution := frame.GetExecution()
	if proto.Equal(execution, w.last) {
		return nil
	}
	w.last = execution
	w.waiting.say(w.id + " " + statusText(execution))
	if !w.client.tables() {
		return w.client.printEvent(frame)
	}
	waits := execution.GetStatus() == ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING
	if failure := execution.GetError(); failure != nil && waits {
		w.tell("Attempt %d ended: %s%s", execution.GetAttempt(), errorText(failure), dueText(execution))
	}
	return nil
}

func dueText(execution *ignitev1.Execution) string {
	if execution.GetDueAtMs() == 0 {
		return ""
	}
	return "; the next begins at " + instant(execution.GetDueAtMs())
}

func (w *watcher) takeAttempt(frame *ignitev1.WatchExecutionResponse) error {
	if frame.GetAttempt() <= w.next.attempt {
		return nil
	}
	if !w.client.tables() {
		w.begin(frame.GetAttempt(), 0)
		return w.client.printEvent(frame)
	}
	if w.printed {
		w.tell("Attempt %d begins; what was printed so far is attempt %d's", frame.GetAttempt(), w.next.attempt)
	} else {
		w.tell("Attempt %d begins", frame.GetAttempt())
	}
	w.begin(frame.GetAttempt(), 0)
	return nil
}

func (w *watcher) begin(attempt uint32, chunk int64) {
	w.next, w.printed = position{attempt: attempt, chunk: chunk}, false
}

// takeChunk prints output that is the next of its attempt. The first chunk says which attempt is the first whose output is kept.
func (w *watcher) takeChunk(frame *ignitev1.WatchExecutionResponse) error {
	switch {
	case w.next.attempt == 0:
		w.begin(frame.GetAttempt(), w.next.chunk)
	case frame.GetAttempt() > w.next.attempt:
		if err := w.takeAttempt(&ignitev1.WatchExecutionResponse{Attempt: frame.GetAttempt(), NewAttempt: true}); err != nil {
			return err
		}
	}
	if frame.GetAttempt() != w.next.attempt || frame.GetChunkIndex() < w.next.chunk {
		return nil
	}
	if frame.GetChunkIndex() > w.next.chunk {
		w.warnLost(frame.GetChunkIndex())
	}
	w.next.chunk, w.printed = frame.GetChunkIndex()+1, true
	if !w.client.tables() {
		return w.client.printEvent(frame)
	}
	w.waiting.stop() // the output itself shows that something happens
	return w.client.writeBody(frame.GetOutputChunk())
}

func (w *watcher) warnLost(end int64) {
	w.tell("Warning: chunks %d to %d are no longer kept", w.next.chunk, end-1)
}

// tell is the client's, for which the line that is redrawn must stop.
func (w *watcher) tell(format string, args ...any) {
	w.waiting.stop()
	w.client.tell(format, args...)
}

// conclude prints the result, unless it was printed as it came, and how the execution ended.
func (w *watcher) conclude() error {
	execution := w.last
	if w.client.tables() {
		if err := errors.Join(w.printRest(), w.client.endBody()); err != nil {
			return err
		}
		w.client.tell("%s %s%s", w.id, statusText(execution), ranText(execution))
	}
	return outcome(execution)
}

// printRest prints the result of what was not streamed, and of output that is all gone.
func (w *watcher) printRest() error {
	chunks := w.last.GetOutputChunks()
	switch {
	case w.next.chunk == 0, chunks == 0 && !w.printed:
		return w.client.writeBody(w.last.GetResult())
	case w.next.chunk < chunks:
		w.warnLost(chunks)
	}
	return nil
}

// outcome is nil for an execution that completed, and says why another did not.
func outcome(execution *ignitev1.Execution) error {
	if execution.GetStatus() == ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED {
		return nil
	}
	if failure := execution.GetError(); failure != nil {
		return errors.New(errorText(failure))
	}
	return fmt.Errorf("execution %s ended %s", execution.GetId(), statusText(execution))
}

func ranText(execution *ignitev1.Execution) string {
	if execution.GetMetrics() == nil {
		return ""
	}
	return " in " + span(execution.GetMetrics().GetExecutionMs())
}

func terminal(execution *ignitev1.Execution) bool {
	switch execution.GetStatus() {
	case ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED,
		ignitev1.ExecutionStatus_EXECUTION_STATUS_FAILED,
		ignitev1.ExecutionStatus_EXECUTION_STATUS_TIMEOUT,
		ignitev1.ExecutionStatus_EXECUTION_STATUS_CANCELLED:
		return true
	}
	return false
}
