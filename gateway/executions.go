package gateway

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// longestWait is how long GetExecution waits at most, whatever it is asked for: proxies cut what is silent for longer.
const longestWait = time.Minute

// GetExecution answers the record as it is, or waits for another one than the caller has.
func (s *service) GetExecution(ctx context.Context, r *ignitev1.GetExecutionRequest) (*ignitev1.GetExecutionResponse, error) {
	known := strings.Trim(r.GetEtag(), `"`)
	record, err := s.awaited(ctx, r, func(etag string) bool { return known == "" || known == etag })
	if err != nil {
		return nil, err
	}
	execution, err := s.withResult(ctx, record)
	if err != nil {
		return nil, err
	}
	return &ignitev1.GetExecutionResponse{Execution: execution, Etag: etagOf(record)}, nil
}

// awaited answers the record at once if the caller may learn something from it, be it that nothing follows, else when it changes.
func (s *service) awaited(ctx context.Context, r *ignitev1.GetExecutionRequest, known func(etag string) bool) (store.Execution, error) {
	wait, err := waitTime(r.GetWait())
	if err != nil {
		return store.Execution{}, err
	}
	record, err := s.execution(ctx, r.GetExecutionId())
	if err != nil {
		return store.Execution{}, err
	}
	record = s.mended(ctx, record)
	if wait == 0 || record.Status.Terminal() || !known(etagOf(record)) {
		return record, nil
	}
	return s.changed(ctx, record, wait)
}

func waitTime(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	wait := d.AsDuration()
	if d.CheckValid() != nil || wait < 0 {
		return 0, badField("wait", "must be a time that is not negative")
	}
	return min(wait, longestWait), nil
}

// etagOf names the state of a record: it is another after every write.
func etagOf(record store.Execution) string { return strconv.FormatUint(record.Revision, 10) }

// changed answers what becomes of a record, or the record as it is once wait is over or the server stops: whoever waits asks again
// anyway, here or elsewhere. While it waits it holds no goroutine and no consumer. A store that does not answer for a while is
// no reason to end.
func (s *service) changed(ctx context.Context, record store.Execution, wait time.Duration) (store.Execution, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	waiting, done := s.halt.follow(waiting)
	defer done()
	for err := range s.cfg.Stream.Changes(waiting, record.ID) {
		if err != nil {
			return store.Execution{}, err
		}
		now, err := s.cfg.Store.Execution(waiting, record.Org, record.ID)
		if err == nil && now.Revision != record.Revision {
			return now, nil
		}
	}
	return s.cfg.Store.Execution(ctx, record.Org, record.ID)
}

// execution answers the record of that id that one of the caller's organizations owns. An id of somebody else's, one
// that was never given out, and one that is none at all cannot be told apart.
func (s *service) execution(ctx context.Context, id string) (store.Execution, error) {
	if store.ValidExecutionID(id) {
		for _, org := range sortedKeys(callerOf(ctx).Orgs) {
			record, err := s.cfg.Store.Execution(ctx, org, id)
			if !errors.Is(err, store.ErrNotFound) {
				return record, err
			}
		}
	}
	return store.Execution{}, noExecution(id)
}

func noExecution(id string) error { return newFault(codes.NotFound, "there is no execution %.64q", id) }

// withResult is a record and, once it is terminal, its result.
func (s *service) withResult(ctx context.Context, record store.Execution) (*ignitev1.Execution, error) {
	execution := publicExecution(record)
	if !record.Status.Terminal() {
		return execution, nil
	}
	result, err := s.cfg.Store.Result(ctx, record)
	if err != nil {
		return nil, fmt.Errorf("result of execution %s: %w", record.ID, err)
	}
	execution.Result = result
	return execution, nil
}
