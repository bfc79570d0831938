package gateway

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const (
	// executionPage is how many executions a page has where the caller does not say.
	executionPage = 50
	// letterRounds bounds how often one call looks for dead letters among what ended badly: many that did may have none any more.
	letterRounds = 100
)

// ListExecutions answers the executions of one organization, which the caller must belong to. A page may be shorter than its
// limit, even empty; only a missing next_cursor is the end.
func (s *service) ListExecutions(ctx context.Context, r *ignitev1.ListExecutionsRequest) (*ignitev1.ListExecutionsResponse, error) {
	filter, err := s.executionFilter(ctx, &ignitev1.ExecutionFilter{
		OrganizationName: r.GetOrganizationName(), AppName: r.GetAppName(), Statuses: r.GetStatuses(), From: r.GetFrom(), To: r.GetTo(),
	})
	if err != nil {
		return nil, err
	}
	list := s.cfg.Store.ListExecutions
	if r.GetDeadLetters() {
		list = s.deadLetters
	}
	limit := int(min(orDefault(r.GetLimit(), executionPage), maxPage))
	page, err := executionsPage(ctx, list, filter, limit, r.GetCursor())
	if errors.Is(err, store.ErrInvalidCursor) {
		return nil, badField("cursor", "is not a next_cursor of this list")
	}
	return page, err
}

// lister is Store.ListExecutions, or that of a part of them.
type lister func(ctx context.Context, f store.ExecutionFilter, limit int, cursor string) (page []store.Execution, next string, err error)

// executionsPage asks again for fewer if the records are too large for one message.
func executionsPage(ctx context.Context, list lister, f store.ExecutionFilter, limit int, cursor string) (*ignitev1.ListExecutionsResponse, error) {
	for {
		records, next, err := list(ctx, f, limit, cursor)
		if err != nil {
			return nil, err
		}
		executions := make([]*ignitev1.Execution, len(records))
		for i, record := range records {
			executions[i] = publicExecution(record)
		}
		limit = fitting(executions)
		if limit == len(executions) {
			return &ignitev1.ListExecutionsResponse{Executions: executions, NextCursor: next}, nil
		}
	}
}

// deadLetters is a lister of those executions whose request is kept.
func (s *service) deadLetters(ctx context.Context, f store.ExecutionFilter, limit int, cursor string) (page []store.Execution, next string, err error) {
	if f.Statuses = badEnds(f.Statuses); len(f.Statuses) == 0 {
		return nil, "", nil
	}
	next = cursor
	for range letterRounds {
		var ended []store.Execution
		if ended, next, err = s.cfg.Store.ListExecutions(ctx, f, limit-len(page), next); err != nil {
			return nil, "", err
		}
		kept, err := s.cfg.Stream.DeadLetters(ctx, idsOf(ended))
		if err != nil {
			return nil, "", err
		}
		for _, record := range ended {
			if kept[record.ID] {
				page = append(page, record)
			}
		}
		if next == "" || len(page) == limit {
			break
		}
	}
	return page, next, nil
}

// badEnds are those of statuses that leave a dead letter; without any, all of them do.
func badEnds(statuses []store.Status) []store.Status {
	if len(statuses) == 0 {
		return []store.Status{store.Failed, store.Timeout}
	}
	var bad []store.Status
	for _, status := range statuses {
		if status == store.Failed || status == store.Timeout {
			bad = append(bad, status)
		}
	}
	return bad
}

func idsOf(records []store.Execution) []string {
	ids := make([]string, len(records))
	for i, record := range records {
		ids[i] = record.ID
	}
	return ids
}

// executionFilter is f as the store has it, for an organization that the caller belongs to.
func (s *service) executionFilter(ctx context.Context, f *ignitev1.ExecutionFilter) (store.ExecutionFilter, error) {
	var v violations
	filter := store.ExecutionFilter{
		Org:      v.ownerOf(callerOf(ctx), f.GetOrganizationName()),
		Statuses: v.statuses(f.GetStatuses()),
		From:     v.time("from", f.GetFrom()),
		To:       v.time("to", f.GetTo()),
	}
	filter.App = v.appOf(filter.Org, f.GetAppName())
	if !filter.From.IsZero() && !filter.To.IsZero() && !filter.From.Before(filter.To) {
		v.add("to", "must be after from")
	}
	if err := v.err(); err != nil {
		return store.ExecutionFilter{}, err
	}
	return filter, callerOf(ctx).In(filter.Org)
}

// ownerOf is org, or if it is empty the one organization of the caller.
func (v *violations) ownerOf(c caller, org string) string {
	switch {
	case org == "" && len(c.Orgs) == 1:
		org, _ = c.Home() // there is one
	case org == "":
		v.add("organization_name", "is missing: the token names %d organizations", len(c.Orgs))
	case !store.ValidName(org):
		v.add("organization_name", "is not allowed: %s", store.NameRule)
	}
	return org
}

// appOf reads "name", an app of org, or "organization/name".
func (v *violations) appOf(org, text string) store.AppRef {
	if text == "" {
		return store.AppRef{}
	}
	app := store.AppRef{Org: org, Name: text}
	if owner, name, ok := strings.Cut(text, "/"); ok {
		app = store.AppRef{Org: owner, Name: name}
		if !store.ValidName(owner) {
			v.add("app_name", "names an organization that is not allowed: %s", store.NameRule)
		}
	}
	if !store.ValidName(app.Name) {
		v.add("app_name", "is not allowed: %s", store.NameRule)
	}
	return app
}

func (v *violations) statuses(public []ignitev1.ExecutionStatus) []store.Status {
	var stored []store.Status
	for _, status := range public {
		if s := toStored(executionStatuses, status); s != "" {
			stored = append(stored, s)
		} else {
			v.add("statuses", "has no value %d", int32(status))
		}
	}
	return stored
}

func (v *violations) time(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if err := t.CheckValid(); err != nil {
		v.add(field, "is no time: %s", err)
		return time.Time{}
	}
	return t.AsTime()
}
