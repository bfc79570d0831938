package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// CreateApp stores a new app and answers it with Incarnation, times and Revision set. It is on disk on return.
// ErrExists if the organization has an app of that name, ErrInvalidName if it cannot have one.
func (s *Store) CreateApp(ctx context.Context, app App) (App, error) {
	if !app.valid() {
		return App{}, fmt.Errorf("create app %q: %w: %s", app.AppRef, ErrInvalidName, NameRule)
	}
	// What a deletion that was cut short left behind goes first: the new app could not tell it from its own.
	if err := s.sweep(ctx, app.AppRef); err != nil {
		return App{}, fmt.Errorf("create app %s: %w", app.AppRef, err)
	}
	now := time.Now().UTC()
	app.Incarnation = newULID(now).String()
	app.ActiveVersion, app.LatestVersion = 0, 0
	app.CreatedAt, app.UpdatedAt = now, now
	value, err := json.Marshal(app)
	if err != nil {
		return App{}, fmt.Errorf("encode app %s: %w", app.AppRef, err)
	}
	app.Revision, err = s.buckets.apps.Create(ctx, appKey(app.AppRef), value)
	if err != nil {
		return App{}, fmt.Errorf("create app %s: %w", app.AppRef, translateCreate(err))
	}
	s.apps.wrote(app.AppRef, app.clone(), app.Revision)
	return app, s.Sync(ctx)
}

// App answers the app as it is now, including any write that returned before the call on this Store.
// The answer comes from memory when it is known there; callers must not change its maps or slices.
// ErrNotFound if there is none.
func (s *Store) App(ctx context.Context, ref AppRef) (App, error) {
	if app, ok := s.apps.get(ref); ok {
		return app, nil
	}
	app, err := s.readApp(ctx, ref)
	if err != nil {
		return App{}, err
	}
	s.apps.wrote(ref, app, app.Revision)
	return app, nil
}

// readApp asks the bucket.
func (s *Store) readApp(ctx context.Context, ref AppRef) (App, error) {
	if !ref.valid() {
		return App{}, fmt.Errorf("app %q: %w", ref, ErrNotFound)
	}
	stored, err := s.latest(ctx, s.buckets.appStream, appSubjects+appKey(ref))
	if err != nil {
		return App{}, fmt.Errorf("app %s: %w", ref, err)
	}
	return decodeApp(stored)
}

func decodeApp(stored stored) (app App, err error) {
	if err := json.Unmarshal(stored.value, &app); err != nil {
		return App{}, fmt.Errorf("decode app: %w", err)
	}
	app.Revision = stored.revision
	return app, nil
}

// Apps lists the apps of org by name, at most limit, after the name `after`. It answers from memory: a write by another
// process may be missing for a moment.
func (s *Store) Apps(_ context.Context, org, after string, limit int) ([]App, error) {
	apps := s.apps.collect(func(app App) bool { return app.Org == org && app.Name > after })
	slices.SortFunc(apps, func(a, b App) int { return strings.Compare(a.Name, b.Name) })
	return apps[:min(len(apps), max(limit, 0))], nil
}

// Reserved answers the published apps that keep pods warm, in no order, from memory.
func (s *Store) Reserved() []App {
	return s.apps.collect(func(app App) bool { return app.ActiveVersion > 0 && app.Scaling.ReservedCapacity > 0 })
}

// UpdateApp reads the app, lets change alter it, and stores it by compare-and-set, again if another writer came
// first; so change may run several times. Names, incarnation and creation time stay as they are.
// It is on disk on return. ErrNotFound, or the error of change.
func (s *Store) UpdateApp(ctx context.Context, ref AppRef, change func(*App) error) (App, error) {
	for {
		app, err := s.readApp(ctx, ref)
		if err != nil {
			return App{}, fmt.Errorf("update: %w", err)
		}
		app, err = s.changeApp(ctx, app, change)
		switch {
		case err == nil:
			return app, s.Sync(ctx)
		case !errors.Is(err, errAppMoved):
			return App{}, err
		}
	}
}

// errAppMoved says that the app was written between our read and our write; reading again will tell what it is now.
var errAppMoved = errors.New("app was written in between")

// changeApp is one attempt of UpdateApp. Its errors are those of change, so they are not wrapped, and errAppMoved.
func (s *Store) changeApp(ctx context.Context, app App, change func(*App) error) (App, error) {
	next := app
	if err := change(&next); err != nil {
		return App{}, err
	}
	next.AppRef, next.Incarnation, next.CreatedAt = app.AppRef, app.Incarnation, app.CreatedAt
	next.UpdatedAt = time.Now().UTC()
	value, err := json.Marshal(next)
	if err != nil {
		return App{}, fmt.Errorf("encode app %s: %w", app.AppRef, err)
	}
	next.Revision, err = s.buckets.apps.Update(ctx, appKey(app.AppRef), value, app.Revision)
	if err = translate(err); errors.Is(err, ErrConflict) {
		return App{}, errAppMoved
	}
	if err != nil {
		return App{}, fmt.Errorf("update app %s: %w", app.AppRef, err)
	}
	s.apps.wrote(next.AppRef, next.clone(), next.Revision)
	return next, nil
}

// DeleteApp removes the app, its versions and its host names; it is on disk on return. Repeating it is ErrNotFound,
// and takes away what a deletion that was cut short left behind.
func (s *Store) DeleteApp(ctx context.Context, ref AppRef) error {
	removed := s.removeApp(ctx, ref)
	if removed != nil && !errors.Is(removed, ErrNotFound) {
		return fmt.Errorf("delete: %w", removed)
	}
	if err := s.sweep(ctx, ref); err != nil {
		return fmt.Errorf("delete app %s: %w", ref, err)
	}
	return errors.Join(removed, s.Sync(ctx))
}

func (s *Store) removeApp(ctx context.Context, ref AppRef) error {
	for {
		app, err := s.readApp(ctx, ref)
		if err != nil {
			return err
		}
		err = translate(s.buckets.apps.Purge(ctx, appKey(ref),
			jetstream.LastRevision(app.Revision), jetstream.PurgeTTL(markerTTL)))
		switch {
		case err == nil:
			s.apps.deleted(ref, app.Revision)
			return nil
		case !errors.Is(err, ErrConflict):
			return fmt.Errorf("app %s: %w", ref, err)
		}
	}
}

// sweep takes away versions and host names of apps of that name that exist no more. It looks for them before it looks
// for the app: what it finds belongs either to the app that it then reads or to one that is gone for good.
func (s *Store) sweep(ctx context.Context, ref AppRef) error {
	incarnations, err := s.storedIncarnations(ctx, ref)
	if err != nil {
		return err
	}
	claims := s.hosts.collect(func(c claim) bool { return c.Owner == ref })
	if len(incarnations) == 0 && len(claims) == 0 {
		return nil
	}
	current, err := s.readApp(ctx, ref)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	var faults []error
	for _, incarnation := range incarnations {
		if incarnation != current.Incarnation {
			faults = append(faults, s.dropVersions(ctx, versionsOf(ref, incarnation)+".>"))
		}
	}
	for _, c := range claims {
		if c.Incarnation != current.Incarnation {
			faults = append(faults, s.release(ctx, c))
		}
	}
	return errors.Join(faults...)
}

// Changed is closed at the next change of any app that this Store hears of, its own included.
// Take the channel first, then look, then wait.
func (s *Store) Changed() <-chan struct{} { return s.apps.next() }
