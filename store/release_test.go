package store

import (
	"errors"
	"testing"

	"dodil.io/ignite/stream/streamtest"
)

// Whoever was releasing a key died over it: the record of a repetition says whether the key stands for an execution.
func TestKeyWhoseReleaseWasCutOff(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{Conn: streamtest.Start(t).Conn})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	app := AppRef{Org: "acme", Name: "hello"}
	first, second := Claim{NewExecutionID(), "a"}, Claim{NewExecutionID(), "a"}
	claim := func(key string, mine Claim) (Claim, error) { return s.ClaimKey(t.Context(), "acme", app, key, mine) }
	cutOff := func(key string) {
		t.Helper()
		if _, err := claim(key, first); err != nil {
			t.Fatal(err)
		}
		subject := idempotencySubjects + idempotencyKey("acme", app, key)
		there, err := s.keyHolder(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		there.Release = releasing
		if _, err := s.writeKey(t.Context(), subject, there); err != nil {
			t.Fatal(err)
		}
	}
	cutOff("without a record")
	if holds, err := claim("without a record", second); err != nil || holds != second {
		t.Errorf("%+v holds the key, %v; want %+v", holds, err, second)
	}
	cutOff("with a record")
	record, err := s.CreateExecution(t.Context(), Execution{ID: first.Execution, Org: "acme", App: app})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ConfirmKey(t.Context(), "acme", app, "with a record", first); !errors.Is(err, ErrUnavailable) {
		t.Errorf("confirm: %v, want unavailable", err)
	}
	if holds, err := claim("with a record", second); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%+v holds the key, %v; want unavailable", holds, err)
	}
	record.Status, record.Attempt = Running, 1
	if _, err := s.UpdateExecution(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if holds, err := claim("with a record", second); err != nil || holds != first {
		t.Errorf("%+v holds the key, %v; want %+v", holds, err, first)
	}
}
