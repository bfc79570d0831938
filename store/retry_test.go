package store_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"dodil.io/ignite/store"
)

// fullPolicy sets every field, each to something that is not the default.
func fullPolicy() store.RetryPolicy {
	return store.RetryPolicy{
		MaxAttempts: 7, InitialBackoff: 2 * time.Second, MaxBackoff: time.Minute, Multiplier: 3,
		Jitter: new(0.5), Statuses: []uint32{418}, MaxAge: time.Hour,
	}
}

// with sets one field of a policy to that of another.
func with(t *testing.T, p, from store.RetryPolicy, field int) store.RetryPolicy {
	t.Helper()
	value := reflect.ValueOf(from).Field(field)
	if value.IsZero() {
		t.Fatalf("field %s is not set, so nothing is tested", reflect.TypeFor[store.RetryPolicy]().Field(field).Name)
	}
	reflect.ValueOf(&p).Elem().Field(field).Set(value)
	return p
}

func TestRetryPolicyOver(t *testing.T) {
	t.Parallel()
	base, full := store.DefaultRetry(), fullPolicy()
	if got := (store.RetryPolicy{}).Over(base); !reflect.DeepEqual(got, base) {
		t.Errorf("a policy that leaves everything open became %+v, want %+v", got, base)
	}
	if got := full.Over(base); !reflect.DeepEqual(got, full) {
		t.Errorf("a policy that leaves nothing open became %+v, want %+v", got, full)
	}
	for field := range reflect.TypeFor[store.RetryPolicy]().NumField() {
		want := with(t, base, full, field)
		if got := with(t, store.RetryPolicy{}, full, field).Over(base); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// No jitter is not the same as saying nothing of it.
func TestRetryPolicyWithoutJitter(t *testing.T) {
	t.Parallel()
	p := store.RetryPolicy{Jitter: new(0.0)}
	if p.IsZero() {
		t.Error("a policy without jitter counts as none")
	}
	if got := p.Over(store.DefaultRetry()); *got.Jitter != 0 {
		t.Errorf("jitter became %v, want 0", *got.Jitter)
	}
}

func TestRetryPolicyIsZero(t *testing.T) {
	t.Parallel()
	if !(store.RetryPolicy{}).IsZero() {
		t.Error("the zero policy is not zero")
	}
	for field := range reflect.TypeFor[store.RetryPolicy]().NumField() {
		if p := with(t, store.RetryPolicy{}, fullPolicy(), field); p.IsZero() {
			t.Errorf("%+v counts as zero", p)
		}
	}
}

// What is stored comes back, and what is left open takes no room in a record.
func TestRetryPolicyInRecord(t *testing.T) {
	t.Parallel()
	s := setup(t)
	e := newExecution()
	e.Retry = fullPolicy()
	e.AppFailures, e.PlatformFailures, e.Postponements = 1, 2, 3
	e.NotBefore = time.Now().Add(time.Hour).UTC()
	e.DueAt, e.RedrivenFrom = e.NotBefore.Add(time.Second), store.NewExecutionID()
	if _, err := s.CreateExecution(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	got, err := s.Execution(t.Context(), e.Org, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	e.Status = store.Pending
	gotJSON, _ := json.Marshal(got)
	wantJSON, _ := json.Marshal(e)
	if string(gotJSON) != string(wantJSON) || !reflect.DeepEqual(got.Retry, e.Retry) {
		t.Errorf("got %s\nwant %s", gotJSON, wantJSON)
	}
	var fields map[string]any
	bare, err := json.Marshal(newExecution())
	if err != nil || json.Unmarshal(bare, &fields) != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"retry", "not_before", "due_at", "redriven_from", "postponements"} {
		if _, ok := fields[name]; ok {
			t.Errorf("a record of which %s is not set says it: %s", name, bare)
		}
	}
}

// An app that a caller was given shares nothing with what memory holds.
func TestRetryPolicyOfAppIsNotShared(t *testing.T) {
	t.Parallel()
	s := setup(t)
	mine := fullPolicy()
	if _, err := s.CreateApp(t.Context(), store.App{AppRef: hello, Config: store.Config{Retry: mine}}); err != nil {
		t.Fatal(err)
	}
	*mine.Jitter, mine.Statuses[0] = 0.9, 500
	app, err := s.App(t.Context(), hello)
	if err != nil || !reflect.DeepEqual(app.Retry, fullPolicy()) {
		t.Errorf("policy of the app is %+v, %v; want %+v", app.Retry, err, fullPolicy())
	}
}
