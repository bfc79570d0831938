package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

var hello = store.AppRef{Org: "acme", Name: "hello"}

func createApp(t testing.TB, s *store.Store, ref store.AppRef) store.App {
	t.Helper()
	app, err := s.CreateApp(t.Context(), store.App{AppRef: ref})
	if err != nil {
		t.Fatalf("create app: %v", err)
	}
	return app
}

func listed(t testing.TB, s *store.Store, org string) int {
	t.Helper()
	apps, err := s.Apps(t.Context(), org, "", 1000)
	if err != nil {
		t.Fatalf("list apps: %v", err)
	}
	return len(apps)
}

func TestCreateApp(t *testing.T) {
	t.Parallel()
	s := setup(t)
	wanted := store.App{
		AppRef: store.AppRef{Org: "acme.corp", Name: "hello.v2"},
		Config: store.Config{Env: map[string]string{"A": "1"}, Ports: []uint32{80, 8080}, Tier: store.TierLarge},
		Draft:  &store.Draft{Status: store.DraftSaved, Code: store.Code{Hash: "abc"}},
		// These are not the caller's to choose.
		ActiveVersion: 7, LatestVersion: 9,
	}
	app, err := s.CreateApp(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	if app.Incarnation == "" || app.Revision == 0 || app.CreatedAt.IsZero() || !app.UpdatedAt.Equal(app.CreatedAt) {
		t.Errorf("fields that the store sets: %+v", app)
	}
	if app.ActiveVersion != 0 || app.LatestVersion != 0 {
		t.Errorf("a new app has versions %d and %d", app.ActiveVersion, app.LatestVersion)
	}
	got, err := s.App(t.Context(), wanted.AppRef)
	if err != nil {
		t.Fatal(err)
	}
	if got.Env["A"] != "1" || len(got.Ports) != 2 || got.Tier != store.TierLarge || got.Draft.Code.Hash != "abc" {
		t.Errorf("app as it was stored: %+v", got)
	}
	_, err = s.CreateApp(t.Context(), wanted)
	wantError(t, err, store.ErrExists)
}

func TestCreateAppRefusesName(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, ref := range []store.AppRef{{}, {Org: "acme"}, {Org: "acme", Name: "*"}, {Org: "a>", Name: "hello"}, {Org: "acme", Name: "a_b"}} {
		_, err := s.CreateApp(t.Context(), store.App{AppRef: ref})
		wantError(t, err, store.ErrInvalidName)
		_, err = s.App(t.Context(), ref)
		wantError(t, err, store.ErrNotFound)
	}
}

// What callers do with the maps they gave or got must not change what the store holds in memory.
func TestAppIsNotShared(t *testing.T) {
	t.Parallel()
	s := setup(t)
	given := store.App{AppRef: hello, Config: store.Config{Env: map[string]string{"A": "1"}}}
	if _, err := s.CreateApp(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	given.Env["A"] = "changed by the creator"
	_, err := s.UpdateApp(t.Context(), hello, func(app *store.App) error {
		app.Env["A"] = "changed by one who then gave up"
		return errors.New("gave up")
	})
	if err == nil {
		t.Error("the error of change did not come back")
	}
	updated, err := s.UpdateApp(t.Context(), hello, func(app *store.App) error { app.Description = "x"; return nil })
	if err != nil {
		t.Fatal(err)
	}
	updated.Env["A"] = "changed after the update"
	app, err := s.App(t.Context(), hello)
	if err != nil || app.Env["A"] != "1" || app.Description != "x" {
		t.Errorf("app is %+v, %v", app, err)
	}
}

func TestUpdateApp(t *testing.T) {
	t.Parallel()
	s := setup(t)
	app := createApp(t, s, hello)
	updated, err := s.UpdateApp(t.Context(), hello, func(next *store.App) error {
		next.Description = "new"
		next.AppRef = store.AppRef{Org: "other", Name: "other"}
		next.Incarnation = "other"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if updated.AppRef != hello || updated.Incarnation != app.Incarnation || updated.Revision <= app.Revision || updated.Description != "new" {
		t.Errorf("updated to %+v", updated)
	}
	_, err = s.UpdateApp(t.Context(), store.AppRef{Org: "acme", Name: "none"}, func(*store.App) error { return nil })
	wantError(t, err, store.ErrNotFound)
	refused := errors.New("refused")
	_, err = s.UpdateApp(t.Context(), hello, func(*store.App) error { return refused })
	wantError(t, err, refused)
}

// No update is lost, whichever Store makes it, and every Store reads what it wrote.
func TestUpdateAppConcurrently(t *testing.T) {
	t.Parallel()
	const updates = 20
	server := streamtest.Start(t)
	stores := []*store.Store{open(t, server, store.Options{}), open(t, server, store.Options{})}
	createApp(t, stores[0], hello)
	var group sync.WaitGroup
	for _, s := range stores {
		for range 3 {
			group.Go(func() {
				for range updates {
					next, err := s.UpdateApp(t.Context(), hello, func(app *store.App) error { app.MaxConcurrency++; return nil })
					if err != nil {
						t.Error(err)
						return
					}
					if read, err := s.App(t.Context(), hello); err != nil || read.MaxConcurrency < next.MaxConcurrency {
						t.Errorf("read %d, %v after writing %d", read.MaxConcurrency, err, next.MaxConcurrency)
					}
				}
			})
		}
	}
	group.Wait()
	for _, s := range stores {
		eventually(t, s, "the last update is heard of", func() bool {
			app, err := s.App(t.Context(), hello)
			return err == nil && app.MaxConcurrency == uint32(len(stores)*3*updates)
		})
	}
}

func TestApps(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, name := range []string{"c", "a", "b.x", "b"} {
		createApp(t, s, store.AppRef{Org: "acme", Name: name})
	}
	createApp(t, s, store.AppRef{Org: "other", Name: "z"})
	for _, test := range []struct {
		after string
		limit int
		want  string
	}{
		{"", 10, "[a b b.x c]"},
		{"", 2, "[a b]"},
		{"b", 10, "[b.x c]"},
		{"bb", 10, "[c]"},
		{"c", 10, "[]"},
		{"", 0, "[]"},
	} {
		apps, err := s.Apps(t.Context(), "acme", test.after, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, app := range apps {
			names = append(names, app.Name)
		}
		if got := fmt.Sprint(names); got != test.want {
			t.Errorf("apps after %q, at most %d: %s, want %s", test.after, test.limit, got, test.want)
		}
	}
}

func TestDeleteApp(t *testing.T) {
	t.Parallel()
	s := setup(t)
	createApp(t, s, hello)
	publish(t, s, store.Version{AppRef: hello}, "hello-acme")
	if err := s.DeleteApp(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	_, err := s.App(t.Context(), hello)
	wantError(t, err, store.ErrNotFound)
	_, err = s.Version(t.Context(), hello, 1)
	wantError(t, err, store.ErrNotFound)
	if ref, _, ok := s.Host("hello-acme"); ok {
		t.Errorf("host still belongs to %s", ref)
	}
	wantError(t, s.DeleteApp(t.Context(), hello), store.ErrNotFound)
}

func TestRecreatedAppStartsAnew(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s, other := open(t, server, store.Options{}), open(t, server, store.Options{})
	old := createApp(t, s, hello)
	publish(t, s, store.Version{AppRef: hello, Code: store.Code{Hash: "old"}}, "hello-acme")
	if _, err := other.Version(t.Context(), hello, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteApp(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	app := createApp(t, s, hello)
	if app.Incarnation == old.Incarnation {
		t.Error("the new app has the old incarnation")
	}
	_, err := s.Version(t.Context(), hello, 1)
	wantError(t, err, store.ErrNotFound)
	_, _, err = s.PublishVersion(t.Context(), store.Version{AppRef: hello, Incarnation: old.Incarnation}, nil)
	wantError(t, err, store.ErrConflict)
	publish(t, s, store.Version{AppRef: hello, Code: store.Code{Hash: "new"}})
	eventually(t, other, "the other store hears of the new app", func() bool {
		v, err := other.Version(t.Context(), hello, 1)
		return err == nil && v.Code.Hash == "new"
	})
	if versions, err := s.Versions(t.Context(), hello, 0, 10); err != nil || len(versions) != 1 || versions[0].Code.Hash != "new" {
		t.Errorf("versions are %+v, %v", versions, err)
	}
}

func TestStoresHearOfEachOther(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	writer, reader := open(t, server, store.Options{}), open(t, server, store.Options{})
	changed := reader.Changed()
	createApp(t, writer, hello)
	if _, err := reader.App(t.Context(), hello); err != nil {
		t.Errorf("an app that was created a moment ago by another store: %v", err)
	}
	select {
	case <-changed:
	case <-t.Context().Done():
		t.Fatal("nobody was told of the new app")
	}
	publish(t, writer, store.Version{AppRef: hello}, "hello-acme")
	eventually(t, reader, "the publication is heard of", func() bool {
		app, err := reader.App(t.Context(), hello)
		return err == nil && app.ActiveVersion == 1
	})
	if err := writer.DeleteApp(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	eventually(t, reader, "the deletion is heard of", func() bool { return listed(t, reader, "acme") == 0 })
	if ref, _, ok := reader.Host("hello-acme"); ok {
		t.Errorf("the host of a deleted app belongs to %s", ref)
	}
}
