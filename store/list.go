package store

import (
	"context"
	"time"
)

// ExecutionFilter says which executions of an organization are meant: those that fit every field that is set.
type ExecutionFilter struct {
	// Org owns the records; it must be set.
	Org string
	// App is zero for those of all apps.
	App      AppRef
	Statuses []Status
	// From and To bound the submission: at or after From, before To.
	From, To time.Time
}

// ListExecutions answers up to limit records that fit, newest submission first, without their results, and the cursor of the next page, which is
// empty at the end. It knows every write that was acknowledged before the call, by whichever process. ErrInvalidCursor if cursor is
// none of ListExecutions.
func (s *Store) ListExecutions(ctx context.Context, f ExecutionFilter, limit int, cursor string) (page []Execution, next string, err error) {
	panic("being written")
}

// Unfinished answers the executions that are older than age and have not ended, of all organizations: as much of each record as
// its key and the index know (ID, Org, App, Status). It is for the reaper.
func (s *Store) Unfinished(ctx context.Context, age time.Duration) ([]Execution, error) {
	panic("being written")
}

// OrphanedPayloads answers the names of payloads that are older than age and whose execution has no record. It is for the reaper.
func (s *Store) OrphanedPayloads(ctx context.Context, age time.Duration) ([]string, error) {
	panic("being written")
}
