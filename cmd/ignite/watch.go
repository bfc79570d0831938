package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const (
	maxReconnects   = 6 // in a row, without a frame between them
	firstReconnect  = 250 * time.Millisecond
	reconnectFactor = 2
)

// watcher follows one execution. A connection that breaks is made again: the server then begins with the current record
// and the output from its beginning, of which the watcher leaves out what it has printed.
type watcher struct {
	client  *client
	id      string
	waiting *activity

	attempt uint32 // that the output comes from
	next    int64  // number of the chunk that is printed next
	failed  int    // connections that broke since the last frame
	last    *ignitev1.Execution
}

// watchExecution follows an execution to its end and returns nil only if it completed.
func (c *client) watchExecution(ctx context.Context, conn *connection, id string) error {
	bounded, cancel := c.streamContext(ctx)
	defer cancel()
	w := &watcher{client: c, id: id, waiting: c.progress.wait(id)}
	defer w.waiting.stop()
	err := w.follow(bounded, conn)
	w.waiting.stop()
	if err != nil {
		if bounded.Err() != nil {
			c.tell("The execution goes on; follow it again with `ignite execution watch %s`.", id)
		}
		return fmt.Errorf("watch execution %s: %w", id, err)
	}
	return w.conclude()
}

func (w *watcher) follow(ctx context.Context, conn *connection) error {
	for {
		err := w.followOnce(ctx, conn)
		if status.Code(err) != codes.Unavailable || w.last == nil || w.failed >= maxReconnects {
			return err
		}
		if err := w.pause(ctx); err != nil {
			return err
		}
	}
}

// pause waits before the connection is made again, each time longer.
func (w *watcher) pause(ctx context.Context) error {
	delay := firstReconnect
	for range w.failed {
		delay *= reconnectFactor
	}
	w.failed++
	select {
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-time.After(delay):
		return nil
	}
}

func (w *watcher) followOnce(ctx context.Context, conn *connection) error {
	stream, err := conn.api.WatchExecution(ctx, &ignitev1.WatchExecutionRequest{ExecutionId: w.id})
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
		w.failed = 0
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

func (w *watcher) take(frame *ignitev1.WatchExecutionResponse) error {
	if execution := frame.GetExecution(); execution != nil {
		w.last = execution
		w.waiting.say(w.id + " " + statusText(execution))
	} else if !w.fresh(frame) {
		return nil
	}
	if !w.client.tables() {
		return w.client.printEvent(frame)
	}
	if len(frame.GetOutputChunk()) == 0 {
		return nil
	}
	w.waiting.stop() // the output itself shows that something happens
	return w.client.writeBody(frame.GetOutputChunk())
}

// fresh says whether a data frame is new, and counts it. A frame without data begins an attempt.
func (w *watcher) fresh(frame *ignitev1.WatchExecutionResponse) bool {
	if frame.GetAttempt() < w.attempt {
		return false
	}
	if frame.GetAttempt() > w.attempt {
		w.beginAttempt(frame.GetAttempt())
	}
	if len(frame.GetOutputChunk()) == 0 {
		return true
	}
	if frame.GetChunkIndex() < w.next {
		return false
	}
	if frame.GetChunkIndex() > w.next {
		w.client.tell("Warning: chunks %d to %d are no longer kept", w.next, frame.GetChunkIndex()-1)
	}
	w.next = frame.GetChunkIndex() + 1
	return true
}

func (w *watcher) beginAttempt(attempt uint32) {
	if w.next > 0 {
		w.waiting.stop()
		w.client.tell("Attempt %d begins; what was printed so far is attempt %d's", attempt, w.attempt)
	}
	w.attempt, w.next = attempt, 0
}

// conclude prints the result, unless it was printed as it came, and how the execution ended.
func (w *watcher) conclude() error {
	execution := w.last
	if w.client.tables() {
		if w.next == 0 {
			if err := w.client.writeBody(execution.GetResult()); err != nil {
				return err
			}
		}
		if err := w.client.endBody(); err != nil {
			return err
		}
		w.client.tell("%s %s%s", w.id, statusText(execution), ranText(execution))
	}
	if execution.GetStatus() == ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED {
		return nil
	}
	if failure := execution.GetError(); failure != nil {
		return errors.New(errorText(failure))
	}
	return fmt.Errorf("execution %s ended %s", w.id, statusText(execution))
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
		ignitev1.ExecutionStatus_EXECUTION_STATUS_TIMEOUT:
		return true
	}
	return false
}
