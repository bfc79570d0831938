package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

func publish(t testing.TB, s *store.Store, v store.Version, hosts ...string) (store.App, store.Version) {
	t.Helper()
	app, v, err := s.PublishVersion(t.Context(), v, hosts)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return app, v
}

func TestPublishVersion(t *testing.T) {
	t.Parallel()
	s := setup(t)
	created, err := s.CreateApp(t.Context(), store.App{AppRef: hello, Draft: &store.Draft{Code: store.Code{Hash: "one"}}})
	if err != nil {
		t.Fatal(err)
	}
	app, first := publish(t, s, store.Version{AppRef: hello, Config: store.Config{Ports: []uint32{80, 8080}}, Code: store.Code{Hash: "one"}},
		"hello-acme", "hello-acme-8080")
	if app.ActiveVersion != 1 || app.LatestVersion != 1 || first.Number != 1 || app.Draft != nil {
		t.Errorf("first publication: %+v, version %d", app, first.Number)
	}
	if first.Incarnation != created.Incarnation || first.CreatedAt.IsZero() {
		t.Errorf("fields that the store sets: %+v", first)
	}
	for label, port := range map[string]uint32{"hello-acme": 80, "hello-acme-8080": 8080} {
		if ref, got, ok := s.Host(label); ref != hello || got != port || !ok {
			t.Errorf("host %s belongs to %s, %d, %t", label, ref, got, ok)
		}
	}
	app, second := publish(t, s, store.Version{AppRef: hello, Code: store.Code{Hash: "two"}}, "hello-acme")
	if app.ActiveVersion != 2 || second.Number != 2 {
		t.Errorf("second publication: %+v, version %d", app, second.Number)
	}
	if v, err := s.Version(t.Context(), hello, 1); err != nil || v.Code.Hash != "one" || len(v.Ports) != 2 {
		t.Errorf("first version later: %+v, %v", v, err)
	}
}

// A draft that was saved while the one before was being published is not lost.
func TestPublishVersionKeepsNewerDraft(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if _, err := s.CreateApp(t.Context(), store.App{AppRef: hello, Draft: &store.Draft{Code: store.Code{Hash: "newer"}}}); err != nil {
		t.Fatal(err)
	}
	app, _ := publish(t, s, store.Version{AppRef: hello, Code: store.Code{Hash: "older"}})
	if app.Draft == nil || app.Draft.Code.Hash != "newer" {
		t.Errorf("draft is %+v", app.Draft)
	}
}

func TestPublishVersionWithoutApp(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, _, err := s.PublishVersion(t.Context(), store.Version{AppRef: hello}, []string{"hello-acme"})
	wantError(t, err, store.ErrNotFound)
	if _, _, ok := s.Host("hello-acme"); ok {
		t.Error("the host was claimed all the same")
	}
}

func TestPublishVersionRefusesHosts(t *testing.T) {
	t.Parallel()
	s := setup(t)
	createApp(t, s, hello)
	for _, hosts := range [][]string{{"*"}, {"a.b"}, {"Hello"}, {"-"}} {
		_, _, err := s.PublishVersion(t.Context(), store.Version{AppRef: hello}, hosts)
		wantError(t, err, store.ErrInvalidName)
	}
	if _, _, err := s.PublishVersion(t.Context(), store.Version{AppRef: hello}, []string{"a", "b"}); err == nil {
		t.Error("published two hosts for the one default port")
	}
	if app, err := s.App(t.Context(), hello); err != nil || app.ActiveVersion != 0 {
		t.Errorf("app is %+v, %v", app, err)
	}
	// A port whose label would be too long has none.
	publish(t, s, store.Version{AppRef: hello, Config: store.Config{Ports: []uint32{80, 81}}}, "", "hello-acme-81")
	if _, port, ok := s.Host("hello-acme-81"); port != 81 || !ok {
		t.Errorf("second port's host: %d, %t", port, ok)
	}
}

// Two apps can have the same label, since names may hold hyphens: a-b of c, and a of b-c.
func TestHostTaken(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, second := store.AppRef{Org: "c", Name: "a-b"}, store.AppRef{Org: "b-c", Name: "a"}
	createApp(t, s, first)
	createApp(t, s, second)
	label, _ := store.HostLabel(first, 80)
	publish(t, s, store.Version{AppRef: first}, label)
	_, _, err := s.PublishVersion(t.Context(), store.Version{AppRef: second, Config: store.Config{Ports: []uint32{81, 80}}}, []string{"a-b-c-81", label})
	wantError(t, err, store.ErrHostTaken)
	if taken, ok := errors.AsType[*store.HostTakenError](err); !ok || *taken != (store.HostTakenError{Host: label, Owner: first, Port: 80, For: second, ForPort: 80}) {
		t.Errorf("error says %+v", taken)
	}
	if ref, _, ok := s.Host("a-b-c-81"); ok {
		t.Errorf("a publication that was refused left a host to %s", ref)
	}
	if app, err := s.App(t.Context(), second); err != nil || app.ActiveVersion != 0 {
		t.Errorf("app that lost: %+v, %v", app, err)
	}
	if err := s.DeleteApp(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	publish(t, s, store.Version{AppRef: second}, label)
	if ref, _, ok := s.Host(label); ref != second || !ok {
		t.Errorf("host belongs to %s, %t", ref, ok)
	}
}

// Publications that run side by side get a number each, none twice, and the highest is active in the end.
func TestPublishVersionConcurrently(t *testing.T) {
	t.Parallel()
	const publications = 5
	server := streamtest.Start(t)
	stores := []*store.Store{open(t, server, store.Options{}), open(t, server, store.Options{})}
	createApp(t, stores[0], hello)
	var mu sync.Mutex
	codes := map[uint32]string{}
	var group sync.WaitGroup
	for i, s := range stores {
		for j := range 2 {
			group.Go(func() {
				for k := range publications {
					hash := fmt.Sprintf("%d-%d-%d", i, j, k)
					_, v, err := s.PublishVersion(t.Context(), store.Version{AppRef: hello, Code: store.Code{Hash: hash}}, []string{"hello-acme"})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if other, taken := codes[v.Number]; taken {
						t.Errorf("version %d is both %s and %s", v.Number, other, hash)
					}
					codes[v.Number] = hash
					mu.Unlock()
				}
			})
		}
	}
	group.Wait()
	s := open(t, server, store.Options{})
	app, err := s.App(t.Context(), hello)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := s.Versions(t.Context(), hello, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(versions) != len(codes) || versions[0].Number != app.ActiveVersion {
		t.Errorf("%d versions, newest %d, active %d; %d were published", len(versions), versions[0].Number, app.ActiveVersion, len(codes))
	}
	for _, v := range versions {
		if codes[v.Number] != v.Code.Hash {
			t.Errorf("version %d is %s, published was %q", v.Number, v.Code.Hash, codes[v.Number])
		}
	}
}

func TestActivate(t *testing.T) {
	t.Parallel()
	s := setup(t)
	createApp(t, s, hello)
	_, first := publish(t, s, store.Version{AppRef: hello})
	publish(t, s, store.Version{AppRef: hello})
	app, err := s.Activate(t.Context(), first)
	if err != nil || app.ActiveVersion != 1 || app.LatestVersion != 2 {
		t.Errorf("app is %+v, error %v", app, err)
	}
	// An app that was made anew in between has no such version.
	if err := s.DeleteApp(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	_, err = s.Activate(t.Context(), first)
	wantError(t, err, store.ErrNotFound)
	createApp(t, s, hello)
	_, err = s.Activate(t.Context(), first)
	wantError(t, err, store.ErrConflict)
	if app, err := s.App(t.Context(), hello); err != nil || app.ActiveVersion != 0 {
		t.Errorf("app is %+v, error %v", app, err)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	s := setup(t)
	createApp(t, s, hello)
	for range 4 {
		publish(t, s, store.Version{AppRef: hello})
	}
	for _, test := range []struct {
		below uint32
		limit int
		want  []uint32
	}{
		{0, 10, []uint32{4, 3, 2, 1}},
		{0, 2, []uint32{4, 3}},
		{3, 10, []uint32{2, 1}},
		{1, 10, nil},
		{99, 1, []uint32{4}},
		{0, 0, nil},
	} {
		versions, err := s.Versions(t.Context(), hello, test.below, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		var numbers []uint32
		for _, v := range versions {
			numbers = append(numbers, v.Number)
		}
		if !slices.Equal(numbers, test.want) {
			t.Errorf("versions below %d, at most %d: %v, want %v", test.below, test.limit, numbers, test.want)
		}
	}
	for _, number := range []uint32{0, 5} {
		_, err := s.Version(t.Context(), hello, number)
		wantError(t, err, store.ErrNotFound)
	}
	_, err := s.Versions(t.Context(), store.AppRef{Org: "acme", Name: "none"}, 0, 10)
	wantError(t, err, store.ErrNotFound)
}
