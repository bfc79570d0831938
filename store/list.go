package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"
)

// recordsAtOnce bounds the records of a page that are read at a time: each comes with its result, which is then dropped.
const recordsAtOnce = 8

// ExecutionFilter says which executions of an organization are meant: those that fit every field that is set.
type ExecutionFilter struct {
	// Org owns the records; it must be set.
	Org string
	// App is zero for those of all apps.
	App      AppRef
	Statuses []Status
	// From and To bound the submission: at or after From, before To. An execution was submitted when its id was made.
	From, To time.Time
}

// ListExecutions answers up to limit records that fit, newest submission first, without their results, and the cursor of the next page, which is
// empty at the end. It knows every write that was acknowledged before the call, by whichever process. ErrInvalidCursor if cursor is
// none of ListExecutions.
func (s *Store) ListExecutions(ctx context.Context, f ExecutionFilter, limit int, cursor string) (page []Execution, next string, err error) {
	if !ValidName(f.Org) {
		return nil, "", fmt.Errorf("list executions of %q: %w", f.Org, ErrInvalidName)
	}
	below, err := parseCursor(cursor)
	if err != nil {
		return nil, "", fmt.Errorf("list executions of %s: %w", f.Org, err)
	}
	if err := s.index.catchUp(ctx); err != nil {
		return nil, "", fmt.Errorf("list executions of %s: %w", f.Org, err)
	}
	page, next, err = s.listPage(ctx, f, limit, below)
	if err != nil {
		return nil, "", fmt.Errorf("list executions of %s: %w", f.Org, err)
	}
	return page, next, nil
}

// listPage looks again while the page is not full: a record may have changed, or left, since the index heard of it.
func (s *Store) listPage(ctx context.Context, f ExecutionFilter, limit int, below ulid.ULID) (page []Execution, next string, err error) {
	for len(page) < limit {
		found := s.index.newest(f, below, limit-len(page))
		if len(found) == 0 {
			return page, "", nil
		}
		records, err := s.readRecords(ctx, f, found)
		if err != nil {
			return nil, "", err
		}
		page = append(page, records...)
		below = found[len(found)-1].id
	}
	if len(s.index.newest(f, below, 1)) > 0 {
		next = cursorAfter(below)
	}
	return page, next, nil
}

// readRecords answers those of what was found that still fit.
func (s *Store) readRecords(ctx context.Context, f ExecutionFilter, found []known) ([]Execution, error) {
	records := make([]Execution, len(found))
	reads, ctx := errgroup.WithContext(ctx)
	reads.SetLimit(recordsAtOnce)
	for i, k := range found {
		reads.Go(func() (err error) {
			records[i], err = s.readRecord(ctx, f.Org, k)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(records, func(e Execution) bool {
		return e.ID == "" || len(f.Statuses) > 0 && !slices.Contains(f.Statuses, e.Status)
	}), nil
}

// readRecord answers a record without its result, or none if it has left.
func (s *Store) readRecord(ctx context.Context, org string, k known) (Execution, error) {
	id := executionID(k.id)
	subject := executionSubjects + executionFilter(org, id) + k.app
	taken := s.index.takenUpTo()
	e, err := decodeStored(unlessMark(s.message(ctx, s.buckets.executions, subject)))
	if err == nil && setOf(e.Status) != k.status && s.options.Replicas > 1 {
		// The replica that answered may lag behind the one that the index heard.
		e, err = decodeStored(unlessMark(s.messageOfLeader(ctx, s.buckets.executions, lastOf(subject))))
	}
	if errors.Is(err, ErrNotFound) {
		s.index.missed(org, id, taken)
		return Execution{}, nil
	}
	if err != nil {
		return Execution{}, fmt.Errorf("execution %s: %w", id, err)
	}
	e.Result = nil
	return e, nil
}

// known is what the index knows of a record.
type known struct {
	id     ulid.ULID
	app    string // as a token
	status statusSet
}

// newest answers up to limit records that fit and whose id is below the given one, newest first.
func (x *index) newest(filter ExecutionFilter, below ulid.ULID, limit int) (found []known) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	records, ok := x.owners[toToken.Replace(filter.Org)]
	wanted, possible := x.wanted(filter)
	if !ok || !possible {
		return nil
	}
	if to := firstULID(filter.To); !filter.To.IsZero() && to.Compare(below) < 0 {
		below = to
	}
	from := firstULID(filter.From)
	for ids, facts := range records.newestFirst(below) {
		for i, f := range slices.Backward(facts) {
			if !wanted.fits(f) {
				continue
			}
			if ids[i].Compare(from) < 0 {
				return found
			}
			found = append(found, known{ids[i], x.apps.apps[f.app].token, f.status})
			if len(found) == limit {
				return found
			}
		}
		if ids[0].Compare(from) < 0 {
			return found
		}
	}
	return found
}

// wanted is the part of a filter that a fact is judged by.
type wanted struct {
	anyApp   bool
	app      uint32
	statuses statusSet
	now      uint32
}

// wanted is not possible if there is no record that fits.
func (x *index) wanted(f ExecutionFilter) (w wanted, possible bool) {
	w = wanted{anyApp: f.App == AppRef{}, statuses: anyStatus, now: uint32(time.Now().Unix())}
	if len(f.Statuses) > 0 {
		w.statuses = setOf(f.Statuses...)
	}
	if w.anyApp {
		return w, true
	}
	w.app, possible = x.apps.slots[appToken(f.App)]
	return w, possible
}

func (w wanted) fits(f fact) bool {
	return f.status&w.statuses != 0 && (w.anyApp || f.app == w.app) && !f.expired(w.now)
}

// A cursor is the id of the last record that was looked at: what comes after it stays the same, whatever is submitted meanwhile.
var cursorEncoding = base64.RawURLEncoding.Strict()

func cursorAfter(id ulid.ULID) string { return cursorEncoding.EncodeToString(id[:]) }

func parseCursor(cursor string) (below ulid.ULID, err error) {
	if cursor == "" {
		return lastULID, nil
	}
	id, err := cursorEncoding.DecodeString(cursor)
	if err != nil || len(id) != len(below) {
		return ulid.ULID{}, ErrInvalidCursor
	}
	return ulid.ULID(id), nil
}
