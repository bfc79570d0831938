package store

import (
	"errors"
	"slices"
	"testing"

	"dodil.io/ignite/stream/streamtest"
)

var (
	hello = AppRef{Org: "acme", Name: "hello"}
	other = AppRef{Org: "acme", Name: "other"}
)

// inside answers a Store whose single steps can be called, as far as a crash would have let them come.
func inside(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Conn: streamtest.Start(t).Conn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func published(t *testing.T, s *Store, ref AppRef, host string) App {
	t.Helper()
	if _, err := s.CreateApp(t.Context(), App{AppRef: ref}); err != nil {
		t.Fatal(err)
	}
	app, _, err := s.PublishVersion(t.Context(), Version{AppRef: ref}, []string{host})
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func incarnations(t *testing.T, s *Store, ref AppRef) []string {
	t.Helper()
	found, err := s.storedIncarnations(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// halfDeleted is an app whose deletion ended with its first step.
func halfDeleted(t *testing.T) *Store {
	t.Helper()
	s := inside(t)
	published(t, s, hello, "hello-acme")
	if err := s.removeApp(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.hosts.get("hello-acme"); !ok || len(incarnations(t, s, hello)) != 1 {
		t.Fatal("nothing was left behind, so nothing is tested")
	}
	if ref, _, ok := s.Host("hello-acme"); ok {
		t.Errorf("host of the deleted app belongs to %s", ref)
	}
	return s
}

func TestHalfDeletedAppIsRepairedByRepetition(t *testing.T) {
	t.Parallel()
	s := halfDeleted(t)
	if err := s.DeleteApp(t.Context(), hello); !errors.Is(err, ErrNotFound) {
		t.Errorf("repeated deletion: %v", err)
	}
	if left := incarnations(t, s, hello); len(left) != 0 {
		t.Errorf("versions left of %v", left)
	}
	if held, err := s.heldClaim(t.Context(), "hello-acme"); err != nil || held.revision != 0 {
		t.Errorf("claim left: %+v, %v", held, err)
	}
}

func TestHalfDeletedAppIsRepairedByCreation(t *testing.T) {
	t.Parallel()
	s := halfDeleted(t)
	app := published(t, s, hello, "hello-acme")
	if left := incarnations(t, s, hello); !slices.Equal(left, []string{app.Incarnation}) {
		t.Errorf("versions of %v, want only of %s", left, app.Incarnation)
	}
	if ref, _, ok := s.Host("hello-acme"); ref != hello || !ok {
		t.Errorf("host belongs to %s, %t", ref, ok)
	}
}

// The label of an app that is gone is free at once, whatever became of its claim.
func TestVoidClaimIsTakenOver(t *testing.T) {
	t.Parallel()
	s := halfDeleted(t)
	published(t, s, other, "hello-acme")
	if ref, _, ok := s.Host("hello-acme"); ref != other || !ok {
		t.Errorf("host belongs to %s, %t", ref, ok)
	}
	// The repetition of the deletion must not take it away again.
	if err := s.DeleteApp(t.Context(), hello); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if ref, _, ok := s.Host("hello-acme"); ref != other || !ok {
		t.Errorf("after the deletion was repeated host belongs to %s, %t", ref, ok)
	}
}

// A version that was stored and never made active is not seen, and the next publication takes it away.
func TestHalfPublishedVersion(t *testing.T) {
	t.Parallel()
	s := inside(t)
	app := published(t, s, hello, "hello-acme")
	orphan := Version{AppRef: hello, Incarnation: app.Incarnation, Number: 2, Code: Code{Hash: "orphan"}}
	if _, err := s.storeVersion(t.Context(), orphan); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Version(t.Context(), hello, 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("version 2 is %+v, %v", v, err)
	}
	app, v, err := s.PublishVersion(t.Context(), Version{AppRef: hello}, nil)
	if err != nil || v.Number != 3 || app.ActiveVersion != 3 {
		t.Fatalf("published %d, active is %d, %v", v.Number, app.ActiveVersion, err)
	}
	if v, err := s.Version(t.Context(), hello, 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("version 2 later is %+v, %v", v, err)
	}
	if versions, err := s.Versions(t.Context(), hello, 0, 10); err != nil || len(versions) != 2 {
		t.Errorf("versions are %+v, %v", versions, err)
	}
}

// A publication that lost its app on the way leaves nothing behind.
func TestPublicationOfAppThatWasDeleted(t *testing.T) {
	t.Parallel()
	s := inside(t)
	app := published(t, s, hello, "hello-acme")
	v := Version{AppRef: hello, Incarnation: app.Incarnation, Number: 2}
	if err := s.DeleteApp(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if err := s.claimHosts(t.Context(), v, []string{"hello-acme"}); err != nil {
		t.Fatal(err)
	}
	v, err := s.storeVersion(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.UpdateApp(t.Context(), hello, func(app *App) error { return activate(app, v) })
	if err = s.undo(t.Context(), v, err); !errors.Is(err, ErrNotFound) {
		t.Errorf("publication ended with %v", err)
	}
	if left := incarnations(t, s, hello); len(left) != 0 {
		t.Errorf("versions left of %v", left)
	}
	if held, err := s.heldClaim(t.Context(), "hello-acme"); err != nil || held.revision != 0 {
		t.Errorf("claim left: %+v, %v", held, err)
	}
}

func TestMessageOfLeader(t *testing.T) {
	t.Parallel()
	s := inside(t)
	e, err := s.CreateExecution(t.Context(), Execution{ID: NewExecutionID(), Org: "acme", App: hello})
	if err != nil {
		t.Fatal(err)
	}
	subject := executionSubjects + executionFilter(e.Org, e.ID) + "*"
	direct, err := s.message(t.Context(), s.buckets.executions, subject)
	if err != nil {
		t.Fatal(err)
	}
	leader, err := s.messageOfLeader(t.Context(), s.buckets.executions, lastOf(subject))
	if err != nil || string(leader.Data) != string(direct.Data) || leader.Sequence != e.Revision ||
		leader.Header.Get(statusHeader) != "pending" || leader.Subject != executionSubjects+executionKey(e.Org, e.ID, e.App) {
		t.Errorf("leader answers %+v, %v; a direct get %+v", leader, err, direct)
	}
	subject = executionSubjects + executionFilter(e.Org, NewExecutionID()) + "*"
	if _, err := s.messageOfLeader(t.Context(), s.buckets.executions, lastOf(subject)); !errors.Is(err, ErrNotFound) {
		t.Errorf("leader answers %v for what there is not", err)
	}
	published(t, s, hello, "hello-acme")
	if err := s.DeleteApp(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	mark, err := s.messageOfLeader(t.Context(), s.buckets.appStream, lastOf(appSubjects+appKey(hello)))
	if _, err := unlessMark(mark, err); !errors.Is(err, ErrNotFound) {
		t.Errorf("leader answers %v for a deleted app", err)
	}
}
