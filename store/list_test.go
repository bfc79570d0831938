package store_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

func list(t *testing.T, s *store.Store, f store.ExecutionFilter, limit int, cursor string) (ids []string, next string) {
	t.Helper()
	page, next, err := s.ListExecutions(t.Context(), f, limit, cursor)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page {
		ids = append(ids, e.ID)
	}
	return ids, next
}

func TestListExecutions(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	all := store.ExecutionFilter{Org: "caller.org"}
	if ids, next := list(t, other, all, 10, ""); len(ids) != 0 || next != "" {
		t.Errorf("of nothing %v are listed, and %q", ids, next)
	}
	var want []string
	for range 7 {
		want = slices.Insert(want, 0, createExecution(t, s).ID)
	}
	foreign := newExecution()
	foreign.Org = "another"
	if _, err := s.CreateExecution(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	if ids, next := list(t, other, all, 7, ""); !slices.Equal(ids, want) || next != "" {
		t.Errorf("listed are %v, %q; want %v", ids, next, want)
	}
	first, next := list(t, other, all, 3, "")
	createExecution(t, s) // A page stays the same, whatever is submitted meanwhile.
	second, next := list(t, other, all, 3, next)
	third, next := list(t, other, all, 3, next)
	if ids := slices.Concat(first, second, third); !slices.Equal(ids, want) || next != "" {
		t.Errorf("listed in pages are %v, %q; want %v", ids, next, want)
	}
	if ids, _ := list(t, other, all, 0, ""); len(ids) != 0 {
		t.Errorf("with a limit of 0 %v are listed", ids)
	}
}

func TestListExecutionsByAppStatusAndTime(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	first := createExecution(t, s)
	between := time.Now()
	second := newExecution()
	second.App = store.AppRef{Org: "public", Name: "a.b"}
	second, err := s.CreateExecution(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	second.Status = store.Cancelled
	if second, err = s.UpdateExecution(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		filter store.ExecutionFilter
		want   []string
	}{
		"app":             {store.ExecutionFilter{App: second.App}, []string{second.ID}},
		"unknown app":     {store.ExecutionFilter{App: store.AppRef{Org: "caller.org", Name: "a.b"}}, nil},
		"status":          {store.ExecutionFilter{Statuses: []store.Status{store.Pending}}, []string{first.ID}},
		"statuses":        {store.ExecutionFilter{Statuses: []store.Status{store.Pending, store.Cancelled}}, []string{second.ID, first.ID}},
		"status it left":  {store.ExecutionFilter{App: second.App, Statuses: []store.Status{store.Pending}}, nil},
		"unknown status":  {store.ExecutionFilter{Statuses: []store.Status{"x"}}, nil},
		"from":            {store.ExecutionFilter{From: between}, []string{second.ID}},
		"to":              {store.ExecutionFilter{To: between}, []string{first.ID}},
		"from and to":     {store.ExecutionFilter{From: between, To: between}, nil},
		"long ago":        {store.ExecutionFilter{To: time.Unix(-1, 0)}, nil},
		"in a far future": {store.ExecutionFilter{From: time.Unix(1<<50, 0)}, nil},
		"all of time":     {store.ExecutionFilter{From: time.Unix(-1, 0), To: time.Unix(1<<50, 0)}, []string{second.ID, first.ID}},
	} {
		test.filter.Org = "caller.org"
		if ids, next := list(t, other, test.filter, 10, ""); !slices.Equal(ids, test.want) || next != "" {
			t.Errorf("%s: listed are %v, %q; want %v", name, ids, next, test.want)
		}
	}
}

// Results are large, and who lists does not want them.
func TestListExecutionsLeavesResultsOut(t *testing.T) {
	t.Parallel()
	s := setup(t)
	e := createExecution(t, s)
	e.Status, e.Attempt = store.Running, 1
	e = update(t, s, e)
	e.Status, e.Result, e.ResultSize = store.Completed, bytes.Repeat([]byte("x"), 1000), 1000
	e = update(t, s, e)
	page, _, err := s.ListExecutions(t.Context(), store.ExecutionFilter{Org: e.Org}, 1, "")
	if err != nil || len(page) != 1 {
		t.Fatalf("listed are %+v, %v", page, err)
	}
	if got := page[0]; got.Result != nil || got.ResultSize != 1000 || got.Revision != e.Revision {
		t.Errorf("listed is %+v with %d bytes of result", got, len(got.Result))
	}
}

func TestListExecutionsRefuses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, cursor := range []string{"x", "exec_01ARZ3NDEKTSV4RRFFQ69G5FAV", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAA=="} {
		_, _, err := s.ListExecutions(t.Context(), store.ExecutionFilter{Org: "acme"}, 1, cursor)
		wantError(t, err, store.ErrInvalidCursor)
	}
	for _, org := range []string{"", "*"} {
		_, _, err := s.ListExecutions(t.Context(), store.ExecutionFilter{Org: org}, 1, "")
		wantError(t, err, store.ErrInvalidName)
	}
}

func TestUnfinished(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	waits, runs, ended := createExecution(t, s), createExecution(t, s), createExecution(t, s)
	foreign := newExecution()
	foreign.Org = "another"
	if _, err := s.CreateExecution(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	runs.Status, runs.Attempt = store.Running, 1
	runs = update(t, s, runs)
	ended.Status = store.Failed
	update(t, s, ended)
	found, err := other.Unfinished(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]store.Execution{waits.ID: waits, runs.ID: runs, foreign.ID: foreign}
	for _, e := range found {
		w := want[e.ID]
		if w.Status == "" {
			w.Status = store.Pending
		}
		if e.Org != w.Org || e.App != w.App || e.Status != w.Status {
			t.Errorf("found %+v, want %+v", e, w)
		}
		delete(want, e.ID)
	}
	if len(want) != 0 {
		t.Errorf("not found were %v", want)
	}
	if found, err := other.Unfinished(t.Context(), time.Hour); err != nil || len(found) != 0 {
		t.Errorf("older than an hour are %v, %v", found, err)
	}
}

func TestOrphanedPayloads(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	orphans := func(age time.Duration) []string {
		t.Helper()
		names, err := other.OrphanedPayloads(t.Context(), age)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if names := orphans(0); len(names) != 0 {
		t.Errorf("of nothing %v are orphans", names)
	}
	e := createExecution(t, s)
	orphan, gone := "request."+store.NewExecutionID(), "request."+store.NewExecutionID()
	putPayload(t, s, "request."+e.ID, randomBytes(2*chunk))
	putPayload(t, s, orphan, randomBytes(2*chunk))
	putPayload(t, s, gone, randomBytes(2*chunk))
	putPayload(t, s, "of-nobody", nil)
	keepPayload(t, s, "result."+store.NewExecutionID()+".1", nil, time.Hour)
	if err := s.DeletePayload(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if names := orphans(0); !slices.Equal(names, []string{orphan}) {
		t.Errorf("orphans are %v, want %s", names, orphan)
	}
	if names := orphans(time.Hour); len(names) != 0 {
		t.Errorf("older than an hour are %v", names)
	}
	// One that gets its record after the index was read is none.
	late := newExecution()
	putPayload(t, s, "request."+late.ID, nil)
	if _, err := s.CreateExecution(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if names := orphans(0); !slices.Equal(names, []string{orphan}) {
		t.Errorf("orphans are %v, want %s", names, orphan)
	}
}
