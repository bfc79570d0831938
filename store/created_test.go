package store_test

import (
	"errors"
	"testing"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

func TestTakeCreatedAnswersOnceToItsOwner(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	created := createExecution(t, s)
	if _, ok := other.TakeCreated(created.Org, created.ID); ok {
		t.Error("another Store remembers what it did not create")
	}
	if _, ok := s.TakeCreated("another", created.ID); ok {
		t.Error("another organization's record was answered")
	}
	taken, ok := s.TakeCreated(created.Org, created.ID)
	if !ok || taken.Revision != created.Revision {
		t.Errorf("took %+v, %v; created %+v", taken, ok, created)
	}
	if _, ok := s.TakeCreated(created.Org, created.ID); ok {
		t.Error("it was answered twice")
	}
	taken.Status, taken.Attempt = store.Running, 1
	if _, err := s.UpdateExecution(t.Context(), taken); err != nil {
		t.Errorf("update what was taken: %v", err)
	}
}

// What was taken by another process meanwhile shows at the update.
func TestTakeCreatedMayBeOld(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	created := createExecution(t, s)
	running, err := other.Execution(t.Context(), created.Org, created.ID)
	if err != nil {
		t.Fatal(err)
	}
	running.Status, running.Attempt = store.Running, 1
	if _, err := other.UpdateExecution(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	taken, ok := s.TakeCreated(created.Org, created.ID)
	if !ok {
		t.Fatal("it was forgotten")
	}
	taken.Status, taken.Attempt = store.Running, 1
	if _, err := s.UpdateExecution(t.Context(), taken); !errors.Is(err, store.ErrConflict) {
		t.Errorf("update of an old record: %v, want ErrConflict", err)
	}
}

func TestCreatingEndsWithTheCreation(t *testing.T) {
	t.Parallel()
	s := open(t, streamtest.Start(t), store.Options{})
	createExecution(t, s)
	if _, err := s.CreateExecution(t.Context(), store.Execution{}); err == nil {
		t.Error("a record without an id was created")
	}
	if s.Creating() {
		t.Error("nothing is being created")
	}
}
