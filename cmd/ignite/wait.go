package main

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// longestPoll is the longest that the server lets one request wait.
const longestPoll = time.Minute

// awaitExecution reads a record when the execution has ended, or when wait is over. It first reads it as it is: from then on it is known
// that there is a server and an execution, and a server that goes away is looked for.
func (c *client) awaitExecution(
	ctx context.Context, conn *connection, id string, wait time.Duration,
) (*ignitev1.GetExecutionResponse, error) {
	last, err := poll(ctx, conn, &ignitev1.GetExecutionRequest{ExecutionId: id}, 0)
	if err != nil || wait == 0 || terminal(last.GetExecution()) {
		return last, err
	}
	waiting := c.progress.wait(id + " " + statusText(last.GetExecution()))
	defer waiting.stop()
	var lost reconnects
	for end := time.Now().Add(wait); ; {
		request, asked := &ignitev1.GetExecutionRequest{ExecutionId: id, Etag: last.GetEtag()}, time.Now()
		answer, err := poll(ctx, conn, request, time.Until(end))
		over := !time.Now().Before(end)
		switch {
		case err == nil && (over || terminal(answer.GetExecution())):
			return answer, nil
		case err == nil:
			same := answer.GetEtag() == last.GetEtag()
			last, lost = answer, reconnects{}
			waiting.say(id + " " + statusText(answer.GetExecution()))
			if same && time.Since(asked) < firstReconnect { // it does not wait while it stops
				c.bide(ctx, firstReconnect, nil)
			}
		case over || !lost.again(ctx, err, maxReconnects):
			return nil, err
		}
	}
}

// poll reads a record when it differs from the one that request names, or after wait.
func poll(
	ctx context.Context, conn *connection, request *ignitev1.GetExecutionRequest, wait time.Duration,
) (*ignitev1.GetExecutionResponse, error) {
	patient := *conn
	if wait = min(wait, longestPoll); wait > 0 {
		request.Wait = durationpb.New(wait)
		if patient.timeout > 0 { // how long one request may take besides what it was asked to wait
			patient.timeout += wait
		}
	}
	return ask(ctx, &patient, ignitev1.ComputeServiceClient.GetExecution, request)
}

const (
	maxReconnects    = 15 // in a row, which takes a minute
	firstReconnect   = 250 * time.Millisecond
	reconnectFactor  = 2
	longestReconnect = 5 * time.Second
)

// reconnects are connections that broke in a row.
type reconnects struct{ failed int }

// again waits before the next connection, each time longer. It is false if err is none of a connection, or was met often enough.
func (r *reconnects) again(ctx context.Context, err error, most int) bool {
	if ctx.Err() != nil || !broken(err) || r.failed >= most {
		return false
	}
	delay := firstReconnect
	for range r.failed {
		delay = min(delay*reconnectFactor, longestReconnect)
	}
	r.failed++
	timer := time.NewTimer(max(delay, min(retryHint(err), longestHint)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// broken says whether err is of a connection, or of a server that may answer another time. A proxy that gives up resets the stream,
// for which gRPC has several codes.
func broken(err error) bool {
	_, worth := worthRepeating(err)
	return worth || strings.Contains(status.Convert(err).Message(), "RST_STREAM")
}
