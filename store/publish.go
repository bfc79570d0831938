package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// errNumberPassed says that another publication made a higher number active first. The number that we have then is
// below the newest and stays unused.
var errNumberPassed = errors.New("a higher version became active first")

// PublishVersion gives v the next number, claims the app's host names, stores v, makes it active, and takes the draft
// away if it still has v's code; a crash in between leaves the old version active. On disk on return.
// hosts are the labels of v.Ports (none: port 80) in their order; an empty one leaves its port without.
// ErrHostTaken (a *HostTakenError) if another app owns one of hosts. ErrConflict if v.Incarnation is set and the app
// is another by now.
func (s *Store) PublishVersion(ctx context.Context, v Version, hosts []string) (App, Version, error) {
	app, err := s.readApp(ctx, v.AppRef)
	if err != nil {
		return App{}, Version{}, fmt.Errorf("publish: %w", err)
	}
	if v.Incarnation = cmp.Or(v.Incarnation, app.Incarnation); v.Incarnation != app.Incarnation {
		return App{}, Version{}, fmt.Errorf("publish app %s: %w", v.AppRef, ErrConflict)
	}
	v = v.clone()
	v.CreatedAt = time.Now().UTC()
	if err := s.claimHosts(ctx, v, hosts); err != nil {
		return App{}, Version{}, fmt.Errorf("publish app %s: %w", v.AppRef, err)
	}
	for {
		v.Number = app.LatestVersion + 1
		published, v, err := s.publish(ctx, v)
		if err == nil {
			return published, v, s.Sync(ctx)
		}
		if !errors.Is(err, errNumberPassed) {
			return App{}, Version{}, fmt.Errorf("publish app %s: %w", v.AppRef, s.undo(ctx, v, err))
		}
		if app, err = s.readApp(ctx, v.AppRef); err != nil {
			return App{}, Version{}, fmt.Errorf("publish: %w", err)
		}
	}
}

// publish is one attempt: store v, then make it active. The version is on disk before anything names it.
func (s *Store) publish(ctx context.Context, v Version) (App, Version, error) {
	v, err := s.storeVersion(ctx, v)
	if err != nil {
		return App{}, v, err
	}
	if err := s.Sync(ctx); err != nil {
		return App{}, v, err
	}
	var before uint32
	app, err := s.UpdateApp(ctx, v.AppRef, func(app *App) error {
		before = app.LatestVersion
		return activate(app, v)
	})
	if errors.Is(err, errNumberPassed) {
		return App{}, v, errors.Join(err, s.dropVersion(ctx, v, v.Number))
	}
	if err != nil {
		return App{}, v, err
	}
	// Numbers in between were stored by publications that can no longer make them active.
	for number := before + 1; number < v.Number; number++ {
		if err := s.dropVersion(ctx, v, number); err != nil {
			return App{}, v, err
		}
	}
	return app, v, nil
}

func activate(app *App, v Version) error {
	if app.Incarnation != v.Incarnation {
		return ErrNotFound
	}
	if app.LatestVersion >= v.Number {
		return errNumberPassed
	}
	app.ActiveVersion, app.LatestVersion = v.Number, v.Number
	if draft := app.Draft; draft != nil && draft.Code.Hash == v.Code.Hash && draft.Code.ImageRef == v.Code.ImageRef {
		app.Draft = nil
	}
	return nil
}

// Activate makes a version serve that was read before. It is on disk on return. ErrConflict if the app that it belongs to was
// deleted, and another made under its name.
func (s *Store) Activate(ctx context.Context, v Version) (App, error) {
	return s.UpdateApp(ctx, v.AppRef, func(app *App) error {
		if app.Incarnation != v.Incarnation {
			return fmt.Errorf("activate version %d of app %s: %w", v.Number, v.AppRef, ErrConflict)
		}
		app.ActiveVersion = v.Number
		return nil
	})
}

// undo takes away what a publication left that ended with cause, if that is because the app is gone. In every other
// case its version waits, unseen, for the next publication to drop it.
func (s *Store) undo(ctx context.Context, v Version, cause error) error {
	if !errors.Is(cause, ErrNotFound) {
		return cause
	}
	return errors.Join(cause, s.sweep(ctx, v.AppRef))
}

func (s *Store) dropVersion(ctx context.Context, v Version, number uint32) error {
	return s.dropVersions(ctx, versionsOf(v.AppRef, v.Incarnation)+"."+strconv.FormatUint(uint64(number), 10))
}
