package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/store"
)

// shelf is a catalog that lives in a bubble.
type shelf struct {
	mu       sync.Mutex
	apps     map[store.AppRef]store.App
	versions map[uint32]store.Version
	made     int
	changed  chan struct{}
}

func newShelf() *shelf {
	return &shelf{apps: make(map[store.AppRef]store.App), versions: make(map[uint32]store.Version), changed: make(chan struct{})}
}

var testApp = store.AppRef{Org: "acme", Name: "hello"}

// publish makes the app if it is missing and gives it one more version.
func (s *shelf) publish(config store.Config) {
	s.change(func(app *store.App) {
		app.LatestVersion++
		app.ActiveVersion = app.LatestVersion
		app.Config = config
		s.versions[app.ActiveVersion] = store.Version{AppRef: app.AppRef, Number: app.ActiveVersion, Config: config}
	})
}

// publishCode is publish of a version with the artifact.
func (s *shelf) publishCode(hash string, config store.Config) {
	s.publish(config)
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.versions[uint32(len(s.versions))]
	v.ArtifactHash = hash
	s.versions[v.Number] = v
}

// copyTo makes another app that is like the one.
func (s *shelf) copyTo(ref store.AppRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.apps[testApp]
	app.AppRef = ref
	s.apps[ref] = app
	s.announce()
}

func (s *shelf) activate(version uint32) {
	s.change(func(app *store.App) { app.ActiveVersion = version })
}

func (s *shelf) change(change func(*store.App)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	app, known := s.apps[testApp]
	if !known {
		s.made++
		app = store.App{AppRef: testApp, Incarnation: fmt.Sprint(s.made)}
	}
	change(&app)
	s.apps[testApp] = app
	s.announce()
}

func (s *shelf) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apps, testApp)
	s.announce()
}

func (s *shelf) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *shelf) App(_ context.Context, ref store.AppRef) (store.App, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	app, known := s.apps[ref]
	if !known {
		return store.App{}, store.ErrNotFound
	}
	return app, nil
}

func (s *shelf) Version(_ context.Context, _ store.AppRef, number uint32) (store.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, known := s.versions[number]
	if !known {
		return store.Version{}, store.ErrNotFound
	}
	return v, nil
}

func (s *shelf) Code(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(nil)), nil
}

func (s *shelf) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *shelf) reserved() []store.App {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Values(s.apps)), func(app store.App) bool { return app.Scaling.ReservedCapacity == 0 })
}

// inPlace is a Provisioner of code that needs no provisioning.
type inPlace struct{}

func (inPlace) Provision(context.Context, store.Version, func() (io.ReadCloser, error)) (Launch, error) {
	return Launch{Dir: "/app", Command: []string{"serve"}}, nil
}

func (inPlace) RemoveIdle(context.Context, time.Time, func(string) bool) (int, error) { return 0, nil }

// within a test no event may take longer than this.
const patience = time.Minute

func receive[T any](t *testing.T, from <-chan T, what string) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
	}
	return value
}
