package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// longestWait is how long GetExecution waits at most, whatever it is asked for: proxies cut what is silent for longer.
const longestWait = time.Minute

// GetExecution answers the record as it is, with wait once it is another one than the caller has.
func (s *service) GetExecution(ctx context.Context, r *ignitev1.GetExecutionRequest) (*ignitev1.GetExecutionResponse, error) {
	known := strings.Trim(r.GetEtag(), `"`)
	if err := s.awaitNews(ctx, r, func(etag string) bool { return known == "" || known == etag }); err != nil {
		return nil, err
	}
	return s.latest(ctx, r.GetExecutionId())
}

func (s *service) latest(ctx context.Context, id string) (*ignitev1.GetExecutionResponse, error) {
	record, err := s.execution(ctx, id)
	if err != nil {
		return nil, err
	}
	execution, err := s.withResult(ctx, record)
	if err != nil {
		return nil, err
	}
	return &ignitev1.GetExecutionResponse{Execution: execution, Etag: etagOf(record)}, nil
}

// awaitNews returns when the record is not the one that the caller knows, or nothing follows, or the time that r waits is over, or the server
// stops: whoever waits asks again anyway, here or elsewhere. While it waits it holds no goroutine and no consumer, and nothing large on its
// stack. A record that cannot be read for a while is no news.
func (s *service) awaitNews(ctx context.Context, r *ignitev1.GetExecutionRequest, known func(etag string) bool) error {
	wait, err := waitTime(r)
	if wait == 0 || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ctx, done := s.halt.follow(ctx)
	defer done()
	n := &news{known: known}
	for err := range s.cfg.Stream.Changes(ctx, r.GetExecutionId()) {
		if err != nil {
			return err
		}
		if there, err := s.look(ctx, r.GetExecutionId(), n); there || err != nil {
			return err
		}
	}
	return nil
}

// waitTime is how long r waits. An id that is none needs no waiting.
func waitTime(r *ignitev1.GetExecutionRequest) (time.Duration, error) {
	wait := r.GetWait().AsDuration()
	switch {
	case !store.ValidExecutionID(r.GetExecutionId()):
		return 0, noExecution(r.GetExecutionId())
	case r.GetWait() == nil:
		return 0, nil
	case r.GetWait().CheckValid() != nil || wait < 0:
		return 0, badField("wait", "must be a time that is not negative")
	default:
		return min(wait, longestWait), nil
	}
}

// news is what a caller waits for.
type news struct {
	// known reports whether the caller knows the record of that etag.
	known func(etag string) bool
	// revision is the one that was found first; 0 before that.
	revision uint64
}

// look reads the record and reports whether it is news.
func (s *service) look(ctx context.Context, id string, n *news) (bool, error) {
	record, err := s.execution(ctx, id)
	if err != nil && (n.revision != 0 || ctx.Err() != nil) {
		return false, nil // whoever asks for it next is told
	}
	if err != nil {
		return false, err
	}
	first := n.revision == 0
	n.revision = cmp.Or(n.revision, record.Revision)
	return record.Status.Terminal() || record.Revision != n.revision || first && !n.known(etagOf(record)), nil
}

// etagOf names the state of a record: it is another after every write.
func etagOf(record store.Execution) string { return strconv.FormatUint(record.Revision, 10) }

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
