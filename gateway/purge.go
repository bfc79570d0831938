package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// purgeWidth is how many dead letters are looked for or dropped at a time.
const purgeWidth = 16

// PurgeDeadLetters drops kept requests for good. It wants to be told which: an empty filter, not a missing one, means all of them.
func (s *service) PurgeDeadLetters(ctx context.Context, r *ignitev1.PurgeDeadLettersRequest) (*ignitev1.PurgeDeadLettersResponse, error) {
	return finish(ctx, s, func(ctx context.Context) (*ignitev1.PurgeDeadLettersResponse, error) {
		letters, more, err := s.lettersToPurge(ctx, r)
		if err != nil {
			return nil, err
		}
		purged, err := s.purge(ctx, letters)
		if err != nil {
			return nil, err
		}
		if err := s.cfg.Store.Sync(ctx); err != nil {
			return nil, fmt.Errorf("sync a purge: %w", err)
		}
		return &ignitev1.PurgeDeadLettersResponse{Purged: purged, More: more}, nil
	})
}

func (s *service) lettersToPurge(ctx context.Context, r *ignitev1.PurgeDeadLettersRequest) (letters []store.Execution, more bool, err error) {
	ids := r.GetExecutionIds()
	switch {
	case len(ids) > 0 && r.Filter != nil:
		return nil, false, badField("execution_ids", "must not be given together with a filter")
	case len(ids) > maxBatch:
		return nil, false, badField("execution_ids", "must be at most %d", maxBatch)
	case len(ids) > 0:
		letters, err = s.executionsOf(ctx, ids)
		return letters, false, err
	case r.Filter == nil:
		return nil, false, badField("filter", "is missing, and so are execution_ids; an empty filter means all")
	}
	return s.lettersThat(ctx, r.GetFilter(), r.GetLimit())
}

// executionsOf answers the records of ids, or the error of the first one that has none.
func (s *service) executionsOf(ctx context.Context, ids []string) ([]store.Execution, error) {
	records, errs := make([]store.Execution, len(ids)), make([]error, len(ids))
	sideBySide(len(ids), purgeWidth, func(i int) { records[i], errs[i] = s.execution(ctx, ids[i]) })
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}

func (s *service) purge(ctx context.Context, letters []store.Execution) (purged uint32, err error) {
	var dropped atomic.Uint32
	errs := make([]error, len(letters))
	sideBySide(len(letters), purgeWidth, func(i int) {
		found, err := s.dropLetter(ctx, letters[i])
		if found {
			dropped.Add(1)
		}
		errs[i] = err
	})
	return dropped.Load(), errors.Join(errs...)
}

// dropLetter drops the dead letter of a record, if it has one, and its large body; it reports whether there was one.
func (s *service) dropLetter(ctx context.Context, record store.Execution) (found bool, err error) {
	if record.Status != store.Failed && record.Status != store.Timeout {
		return false, nil // its large body may be on its way to a pod
	}
	found, err = s.cfg.Stream.DropDeadLetter(ctx, record.ID)
	if err != nil || record.RequestObject == "" {
		return found, err
	}
	return found, s.cfg.Store.DeletePayload(ctx, record.RequestObject)
}

// lettersThat answers the records, newest first, of up to limit dead letters that fit, and whether there are more.
func (s *service) lettersThat(ctx context.Context, f *ignitev1.ExecutionFilter, limit uint32) (letters []store.Execution, more bool, err error) {
	filter, err := s.executionFilter(ctx, f)
	if err != nil {
		return nil, false, err
	}
	most, cursor := int(min(orDefault(limit, maxBatch), maxBatch)), ""
	for {
		page, next, err := s.deadLetters(ctx, filter, min(most+1-len(letters), maxBatch), cursor)
		if err != nil {
			return nil, false, err
		}
		letters = append(letters, page...)
		if len(letters) > most {
			return letters[:most], true, nil
		}
		if next == "" {
			return letters, false, nil
		}
		cursor = next
	}
}
