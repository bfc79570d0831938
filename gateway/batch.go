package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/grpc/metadata"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const (
	// maxBatch is how many entries one request may have, or dead letters it may be about.
	maxBatch = 1000
	// batchWidth is how many entries of a batch are stored at a time. Each waits for NATS most of the time.
	batchWidth = 64
	// maxEntryError bounds the message of one entry's error, so that a thousand of them fit into an answer.
	maxEntryError = 1 << 10
)

// InvokeAsyncBatch is InvokeAsync for each entry by itself, but all of them wait for the disk once.
func (s *service) InvokeAsyncBatch(ctx context.Context, r *ignitev1.InvokeAsyncBatchRequest) (*ignitev1.InvokeAsyncBatchResponse, error) {
	return s.submitBatch(ctx, r, metadata.ValueFromIncomingContext(ctx, keyMetadata))
}

// submitBatch refuses keys that came beside the batch: each entry has its own.
func (s *service) submitBatch(ctx context.Context, r *ignitev1.InvokeAsyncBatchRequest, keys []string) (*ignitev1.InvokeAsyncBatchResponse, error) {
	if err := s.checkBatch(r, keys); err != nil {
		return nil, err
	}
	app, err := s.published(ctx, r)
	if err != nil {
		return nil, err
	}
	return finish(ctx, s, func(ctx context.Context) (*ignitev1.InvokeAsyncBatchResponse, error) {
		results := make([]*ignitev1.InvokeAsyncResult, len(r.GetRequests()))
		sideBySide(len(results), batchWidth, func(i int) {
			results[i] = s.submitEntry(ctx, app, r.GetRequests()[i])
		})
		if !slices.ContainsFunc(results, isAccepted) {
			return &ignitev1.InvokeAsyncBatchResponse{Results: results}, nil
		}
		if err := s.syncSubmissions(ctx); err != nil {
			return nil, fmt.Errorf("a batch for %s: %w", app, err)
		}
		return &ignitev1.InvokeAsyncBatchResponse{Results: results}, nil
	})
}

func isAccepted(r *ignitev1.InvokeAsyncResult) bool { return r.GetError() == nil }

func (s *service) checkBatch(r *ignitev1.InvokeAsyncBatchRequest, keys []string) error {
	if n := len(r.GetRequests()); n < 1 || n > maxBatch {
		return badField("requests", "must be 1 to %d", maxBatch)
	}
	if len(keys) > 0 {
		return badField("idempotency_key", "is given for a batch as a whole: give each entry its own")
	}
	size := int64(0)
	for _, entry := range r.GetRequests() {
		size += int64(len(entry.GetBody()))
	}
	if size > s.cfg.MaxPayloadBytes {
		return tooLarge("the bodies of a batch together", s.cfg.MaxPayloadBytes)
	}
	return nil
}

func (s *service) submitEntry(ctx context.Context, app store.App, r *ignitev1.InvokeRequest) *ignitev1.InvokeAsyncResult {
	id, err := s.submitOne(ctx, app, r)
	if err != nil {
		return &ignitev1.InvokeAsyncResult{Error: s.entryError(ctx, ignitev1.ComputeService_InvokeAsyncBatch_FullMethodName, err)}
	}
	return &ignitev1.InvokeAsyncResult{ExecutionId: id}
}

func (s *service) submitOne(ctx context.Context, app store.App, r *ignitev1.InvokeRequest) (id string, err error) {
	var v violations
	v.sameApp(r, app.Org, app.Name)
	if err := v.err(); err != nil {
		return "", err
	}
	c, err := s.newSubmission(ctx, app, r)
	if err != nil {
		return "", err
	}
	return s.submit(ctx, c)
}

// entryError is err as the one who made the whole call is to see it.
func (s *service) entryError(ctx context.Context, method string, err error) *ignitev1.BatchError {
	f := told(ctx, s.log, method, err)
	message := validUTF8(f.message)
	if len(message) > maxEntryError {
		message = validUTF8(message[:maxEntryError]) + "…"
	}
	return &ignitev1.BatchError{Code: int32(f.code), Message: message, RetryAfterMs: f.retryAfter().Milliseconds()}
}

// sideBySide calls do for 0 to n-1, at most width of them at a time, and returns when all have returned.
func sideBySide(n, width int, do func(i int)) {
	var running sync.WaitGroup
	next := make(chan int)
	for range min(n, width) {
		running.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	running.Wait()
}
