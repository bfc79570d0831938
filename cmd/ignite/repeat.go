package main

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const (
	// A server that cannot be reached, and says nothing about it, is tried again for about a second.
	unhintedRepeats = 3
	firstPause      = 100 * time.Millisecond

	// A server that says when to come back is believed that often, unless it says later than longestHint.
	hintedRepeats = 5
	longestHint   = 30 * time.Second
	hintSpread    = 0.2 // by which a pause is longer at random, so that callers who were refused together do not return together
)

// repeatable are the methods that a repetition of the request cannot make do anything twice, besides submissions with a key.
var repeatable = map[string]bool{
	ignitev1.ComputeService_GetApp_FullMethodName:           true,
	ignitev1.ComputeService_ListApps_FullMethodName:         true,
	ignitev1.ComputeService_GetAppState_FullMethodName:      true,
	ignitev1.ComputeService_GetDraftInfo_FullMethodName:     true,
	ignitev1.ComputeService_ListAppVersions_FullMethodName:  true,
	ignitev1.ComputeService_GetAppVersion_FullMethodName:    true,
	ignitev1.ComputeService_GetAppCode_FullMethodName:       true,
	ignitev1.ComputeService_GetExecution_FullMethodName:     true,
	ignitev1.ComputeService_ListExecutions_FullMethodName:   true,
	ignitev1.ComputeService_CancelExecution_FullMethodName:  true,
	ignitev1.ComputeService_RedriveExecution_FullMethodName: true,
}

// safeToRepeat says whether request may be sent again when nobody knows what became of it.
func safeToRepeat(method string, request any) bool {
	switch request := request.(type) {
	case *ignitev1.InvokeRequest:
		return request.GetIdempotencyKey() != ""
	case *ignitev1.InvokeAsyncBatchRequest:
		for _, entry := range request.GetRequests() {
			if entry.GetIdempotencyKey() == "" {
				return false
			}
		}
		return true
	}
	return repeatable[method]
}

// repeat is a unary interceptor that sends a request again after an error that passes, where that is safe.
func (c *client) repeat(
	ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	attempt := func() error { return call(ctx, method, request, answer, conn, options...) }
	if !safeToRepeat(method, request) {
		return attempt()
	}
	return c.repeating(ctx, attempt)
}

// repeating calls attempt until it succeeds, fails for good, or has been tried often enough.
func (c *client) repeating(ctx context.Context, attempt func() error) error {
	var hinted, unhinted int
	for {
		err := attempt()
		pause, worth := worthRepeating(err)
		switch {
		case !worth:
			return err
		case pause > 0 && hinted < hintedRepeats:
			hinted++
			pause += time.Duration(rand.Float64() * hintSpread * float64(pause))
		case pause == 0 && unhinted < unhintedRepeats:
			pause = firstPause << unhinted
			unhinted++
		default:
			return err
		}
		if !c.bide(ctx, pause, err) {
			return err
		}
	}
}

// worthRepeating says whether err passes by itself, and after how long, if the server said so.
func worthRepeating(err error) (pause time.Duration, worth bool) {
	hint := retryHint(err)
	switch status.Code(err) {
	case codes.Unavailable:
		return hint, hint <= longestHint
	case codes.ResourceExhausted:
		return hint, hint > 0 && hint <= longestHint
	}
	return 0, false
}

// retryHint is when the server says to try again; 0 if it does not.
func retryHint(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return max(retry.GetRetryDelay().AsDuration(), 0)
		}
	}
	return 0
}

// bide waits for pause. It is false if the time of the request would be over by then. Who waits longer than it takes to wonder is told.
func (c *client) bide(ctx context.Context, pause time.Duration, reason error) bool {
	if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) <= pause {
		return false
	}
	if pause >= time.Second {
		c.tell("Trying again in %s: %s", pause.Round(100*time.Millisecond), explain(reason))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
