package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

// mostUnfinished bounds what one call of Unfinished answers, and with it the memory that it takes: some 20 MB.
const mostUnfinished = 1 << 15

// Unfinished answers the executions that are older than age and have not ended, of all organizations: as much of each record as
// its key and the index know (ID, Org, App, Status). If they are more than some 30,000 it answers a part, the next call the part after that,
// and the call after the last part begins anew. It is for the reaper.
func (s *Store) Unfinished(ctx context.Context, age time.Duration) ([]Execution, error) {
	if err := s.index.catchUp(ctx); err != nil {
		return nil, fmt.Errorf("list unfinished executions: %w", err)
	}
	return s.index.unfinished(firstULID(time.Now().Add(-age)), mostUnfinished), nil
}

// unfinished goes on where the last call had to stop: through the owners by name, and through each one's records by age.
func (x *index) unfinished(below ulid.ULID, most int) (found []Execution) {
	x.mu.Lock()
	defer x.mu.Unlock()
	above, open := x.resume, setOf(Pending, Running)
	for _, owner := range slices.Sorted(maps.Keys(x.owners)) {
		if owner < above.owner {
			continue
		}
		after := ulid.ULID{}
		if owner == above.owner {
			after = above.id
		}
		for id, f := range x.owners[owner].between(after, below) {
			if f.status&open == 0 {
				continue
			}
			if len(found) == most {
				return found
			}
			found = append(found, x.execution(owner, id, f))
			x.resume = place{owner, id}
		}
	}
	x.resume = place{}
	return found
}

// execution answers what the index knows of a record that has not ended.
func (x *index) execution(owner string, id ulid.ULID, f fact) Execution {
	status := Pending
	if f.status == setOf(Running) {
		status = Running
	}
	return Execution{
		ID:     executionID(id),
		Org:    fromToken.Replace(owner),
		App:    appOf(x.apps.apps[f.app].token),
		Status: status,
	}
}
