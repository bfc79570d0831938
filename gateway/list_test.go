package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

func idsOf(executions []*ignitev1.Execution) []string {
	var ids []string
	for _, e := range executions {
		ids = append(ids, e.GetId())
	}
	return ids
}

// wantList checks that all pages of a list together are these executions, in this order.
func (s *setup) wantList(t testing.TB, what string, r *ignitev1.ListExecutionsRequest, want ...string) {
	t.Helper()
	var ids []string
	for {
		page, err := s.client.ListExecutions(s.as(t, "acme"), r)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		ids = append(ids, idsOf(page.GetExecutions())...)
		if r.Cursor = page.GetNextCursor(); r.Cursor == "" {
			break
		}
	}
	if !slices.Equal(ids, want) {
		t.Errorf("%s are %v, want %v", what, ids, want)
	}
}

func TestListFindsWhatWasSubmitted(t *testing.T) {
	t.Parallel()
	s := start(t)
	for org, app := range map[string]string{"acme": "hello", "public": "hello", "other": "hello"} {
		s.publish(t, org, app, http.NotFoundHandler())
	}
	s.publish(t, "acme", "bye", http.NotFoundHandler())
	submit := func(org, app string) *worker {
		return s.work(t, s.submit(t, &ignitev1.InvokeRequest{OrganizationName: org, AppName: app}))
	}
	must(s.client.InvokeAsync(s.as(t, "other"), &ignitev1.InvokeRequest{OrganizationName: "other", AppName: "hello"}))
	waits, runs, done, bye, theirs := submit("acme", "hello"), submit("acme", "hello"), submit("acme", "hello"), submit("acme", "bye"), submit("public", "hello")
	cut := submit("acme", "hello")
	runs.run()
	done.run()
	done.complete("a result")
	s.cancel(t, cut.record.ID, "")
	id := func(w *worker) string { return w.record.ID }
	at := func(w *worker) time.Time {
		return ulid.Time(must(ulid.ParseStrict(strings.TrimPrefix(id(w), "exec_"))).Time())
	}

	type list = ignitev1.ListExecutionsRequest
	status := func(s ...ignitev1.ExecutionStatus) []ignitev1.ExecutionStatus { return s }
	all := []string{id(cut), id(theirs), id(bye), id(done), id(runs), id(waits)}
	s.wantList(t, "all", &list{}, all...)
	s.wantList(t, "all of acme", &list{OrganizationName: "acme"}, all...)
	s.wantList(t, "all page by page", &list{Limit: 2}, all...)
	s.wantList(t, "those of hello", &list{AppName: "hello"}, id(cut), id(done), id(runs), id(waits))
	s.wantList(t, "those of acme's hello", &list{AppName: "acme/hello", OrganizationName: "acme"}, id(cut), id(done), id(runs), id(waits))
	s.wantList(t, "those of the public hello", &list{AppName: "public/hello"}, id(theirs))
	s.wantList(t, "those of no app", &list{AppName: "none"})
	s.wantList(t, "those that run", &list{Statuses: status(running)}, id(runs))
	s.wantList(t, "those that wait or are cancelled", &list{Statuses: status(pending, cancelled)}, id(cut), id(theirs), id(bye), id(waits))
	s.wantList(t, "those that failed", &list{Statuses: status(failed)})
	s.wantList(t, "those since", &list{From: timestamppb.New(time.Now().Add(-time.Hour))}, all...)
	s.wantList(t, "those of the future", &list{From: timestamppb.New(time.Now().Add(time.Hour))})
	s.wantList(t, "those of the past", &list{To: timestamppb.New(time.Now().Add(-time.Hour))})
	if at(bye).After(at(done)) { // or they came in the same millisecond
		s.wantList(t, "those before", &list{To: timestamppb.New(at(bye))}, id(done), id(runs), id(waits))
		s.wantList(t, "those since", &list{From: timestamppb.New(at(bye))}, id(cut), id(theirs), id(bye))
	}
	page := must(s.client.ListExecutions(s.as(t, "acme"), &list{Statuses: status(completed)})).GetExecutions()
	if len(page) != 1 || page[0].GetMetrics().GetResultSizeBytes() != 8 || len(page[0].GetResult()) != 0 {
		t.Errorf("what completed is %v", page)
	}
}

func TestListOverHTTP(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.NotFoundHandler())
	var ids []string
	for range 3 {
		ids = append(ids, s.submit(t, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}))
	}
	slices.Reverse(ids)
	read := func(path string) (list []string, next string) {
		t.Helper()
		var answer struct {
			Executions []struct{ ID string }
			NextCursor string
		}
		if err := json.Unmarshal([]byte(readAll(t, s.do(t, "GET", path, ""))), &answer); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, e := range answer.Executions {
			list = append(list, e.ID)
		}
		return list, answer.NextCursor
	}
	now := url.QueryEscape(time.Now().Add(time.Minute).Format(time.RFC3339))
	for _, path := range []string{
		"/v1/ignite/executions", "/v1/ignite/executions?appName=hello&organizationName=acme", "/v1/ignite/app/acme/hello/executions",
		"/v1/ignite/executions?statuses=EXECUTION_STATUS_PENDING&statuses=EXECUTION_STATUS_RUNNING", "/v1/ignite/executions?to=" + now,
	} {
		if got, next := read(path); !slices.Equal(got, ids) || next != "" {
			t.Errorf("%s lists %v and %q, want %v", path, got, next, ids)
		}
	}
	first, next := read("/v1/ignite/app/acme/hello/executions?limit=2")
	if !slices.Equal(first, ids[:2]) || next == "" {
		t.Errorf("the first page is %v and %q", first, next)
	}
	if last, next := read("/v1/ignite/app/acme/hello/executions?limit=2&cursor=" + url.QueryEscape(next)); !slices.Equal(last, ids[2:]) || next != "" {
		t.Errorf("the last page is %v and %q", last, next)
	}
	if got, _ := read("/v1/ignite/executions?from=" + now); len(got) != 0 {
		t.Errorf("the future has %v", got)
	}
}

func TestListsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	hour := func(h int) *timestamppb.Timestamp {
		return timestamppb.New(time.Now().Add(time.Duration(h) * time.Hour))
	}
	type list = ignitev1.ListExecutionsRequest
	for _, test := range []struct {
		request *list
		code    codes.Code
		words   string
	}{
		{&list{OrganizationName: "other"}, codes.PermissionDenied, "other"},
		{&list{OrganizationName: "public", AppName: "hello"}, codes.PermissionDenied, "public"},
		{&list{OrganizationName: "A_B"}, codes.InvalidArgument, "organization_name"},
		{&list{AppName: "A_B"}, codes.InvalidArgument, "app_name"},
		{&list{AppName: "a/b/c"}, codes.InvalidArgument, "app_name"},
		{&list{AppName: "/b"}, codes.InvalidArgument, "app_name"},
		{&list{AppName: "*"}, codes.InvalidArgument, "app_name"},
		{&list{Statuses: []ignitev1.ExecutionStatus{99}}, codes.InvalidArgument, "statuses"},
		{&list{Statuses: []ignitev1.ExecutionStatus{0}}, codes.InvalidArgument, "statuses"},
		{&list{From: hour(1), To: hour(0)}, codes.InvalidArgument, "to must be after from"},
		{&list{From: &timestamppb.Timestamp{Nanos: -1}}, codes.InvalidArgument, "from"},
		{&list{Cursor: "x"}, codes.InvalidArgument, "cursor"},
	} {
		_, err := s.client.ListExecutions(s.as(t, "acme"), test.request)
		wantCode(t, err, test.code, test.words)
	}
	for query, code := range map[string]int{"?statuses=PENDING": 400, "?limit=x": 400, "?from=yesterday": 400, "": 200} {
		if got := s.do(t, "GET", "/v1/ignite/executions"+query, "").StatusCode; got != code {
			t.Errorf("%q is answered %d, want %d", query, got, code)
		}
	}
}

// A page of large records ends early, and the next one goes on.
func TestListEndsAPageBeforeItIsTooLarge(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	const large, records = 30 << 10, 150
	var want []string
	for i := range records {
		record := store.Execution{ID: store.NewExecutionID(), Org: "acme", App: ref, CreatedAt: time.Now(),
			Error: &store.ExecutionError{Code: fmt.Sprint(i), Message: strings.Repeat("x", large)}}
		want = append(want, must(s.store.CreateExecution(t.Context(), record)).ID)
	}
	slices.Reverse(want)
	s.wantList(t, "large ones", &ignitev1.ListExecutionsRequest{Limit: 1000}, want...)
	page := must(s.client.ListExecutions(s.as(t, "acme"), &ignitev1.ListExecutionsRequest{Limit: 1000}))
	if got := len(page.GetExecutions()); got >= records || got < records/4 || page.GetNextCursor() == "" {
		t.Errorf("a page has %d", got)
	}
}

func TestListOfDeadLetters(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	var letters []string
	for i := range 20 {
		worker := s.submitted(t)
		worker.run()
		switch i % 3 {
		case 0:
			worker.complete("x")
			continue
		case 1:
			worker.update(func(e *store.Execution) { e.Status = store.Failed })
		default:
			worker.update(func(e *store.Execution) { e.Status = store.Timeout })
		}
		if i < 4 {
			continue // somebody redrove it, or purged it
		}
		work := stream.Work{Execution: worker.record.ID, Owner: "acme", App: stream.App{Org: ref.Org, Name: ref.Name}}
		if err := s.stream.KeepDeadLetter(t.Context(), work, worker.record.ExpiresAt); err != nil {
			t.Fatal(err)
		}
		letters = append(letters, worker.record.ID)
	}
	slices.Reverse(letters)
	type list = ignitev1.ListExecutionsRequest
	s.wantList(t, "dead letters", &list{DeadLetters: true}, letters...)
	s.wantList(t, "dead letters one by one", &list{DeadLetters: true, Limit: 1}, letters...)
	s.wantList(t, "dead letters three by three", &list{DeadLetters: true, Limit: 3, AppName: "hello"}, letters...)
	s.wantList(t, "dead letters of what completed", &list{DeadLetters: true, Statuses: []ignitev1.ExecutionStatus{completed}})
	var failures []string
	for _, id := range letters {
		if s.get(t, &ignitev1.GetExecutionRequest{ExecutionId: id}).GetExecution().GetStatus() == failed {
			failures = append(failures, id)
		}
	}
	s.wantList(t, "those that failed", &list{DeadLetters: true, Statuses: []ignitev1.ExecutionStatus{failed, completed}}, failures...)
}
