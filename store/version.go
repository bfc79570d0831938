package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Version is a published version; it never changes.
type Version struct {
	AppRef
	Incarnation string `json:"incarnation"`
	Number      uint32 `json:"number"`
	Config
	Code Code `json:"code"`
	// ArtifactHash names what a pod runs; equal to Code.Hash where nothing had to be built.
	ArtifactHash string    `json:"artifact_hash"`
	CreatedAt    time.Time `json:"created_at"`
}

// clone answers a Version that shares no map or slice with v.
func (v Version) clone() Version {
	v.Config = v.Config.clone()
	return v
}

// Version answers one published version; from memory once it was read. ErrNotFound if there is none.
// Callers must not change its maps or slices.
func (s *Store) Version(ctx context.Context, ref AppRef, number uint32) (Version, error) {
	app, err := s.App(ctx, ref)
	if err != nil {
		return Version{}, fmt.Errorf("version %d: %w", number, err)
	}
	if number > app.LatestVersion {
		// Another process may just have published it. A version that is stored but was never made active is none.
		if app, err = s.readApp(ctx, ref); err != nil {
			return Version{}, fmt.Errorf("version %d: %w", number, err)
		}
	}
	if number == 0 || number > app.LatestVersion {
		return Version{}, fmt.Errorf("version %d of app %s: %w", number, ref, ErrNotFound)
	}
	return s.versionOf(ctx, app, number)
}

func (s *Store) versionOf(ctx context.Context, app App, number uint32) (Version, error) {
	id := versionID{app.Incarnation, number}
	if v, ok := s.versions.get(id); ok {
		return v, nil
	}
	stored, err := s.buckets.versions.Get(ctx, versionKey(app.AppRef, app.Incarnation, number))
	if err != nil {
		return Version{}, fmt.Errorf("version %d of app %s: %w", number, app.AppRef, translate(err))
	}
	var v Version
	if err := json.Unmarshal(stored.Value(), &v); err != nil {
		return Version{}, fmt.Errorf("decode version %d of app %s: %w", number, app.AppRef, err)
	}
	s.versions.put(id, v)
	return v, nil
}

// Versions lists versions, newest first, at most limit, below number `below` (0: from the newest).
func (s *Store) Versions(ctx context.Context, ref AppRef, below uint32, limit int) ([]Version, error) {
	app, err := s.App(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("versions: %w", err)
	}
	number := app.LatestVersion
	if below > 0 {
		number = min(number, below-1)
	}
	var versions []Version
	for ; number > 0 && len(versions) < limit; number-- {
		v, err := s.versionOf(ctx, app, number)
		if errors.Is(err, ErrNotFound) {
			continue // A publication that was cut short used the number up.
		}
		if err != nil {
			return nil, err
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// storeVersion stores v under the first free number from v.Number on. One that is taken belongs to a publication
// that is under way or was cut short; both are dealt with by PublishVersion.
func (s *Store) storeVersion(ctx context.Context, v Version) (Version, error) {
	for ; ; v.Number++ {
		value, err := json.Marshal(v)
		if err != nil {
			return Version{}, fmt.Errorf("encode version %d of app %s: %w", v.Number, v.AppRef, err)
		}
		_, err = s.buckets.versions.Create(ctx, versionKey(v.AppRef, v.Incarnation, v.Number), value)
		if err = translateCreate(err); err == nil {
			return v, nil
		}
		if !errors.Is(err, ErrExists) {
			return Version{}, fmt.Errorf("store version %d of app %s: %w", v.Number, v.AppRef, err)
		}
	}
}

// dropVersions takes away the versions whose keys match filter. Nobody watches them, so no mark stays.
func (s *Store) dropVersions(ctx context.Context, filter string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.buckets.versionStream.Purge(ctx, jetstream.WithPurgeSubject(versionSubjects+filter)); err != nil {
		return fmt.Errorf("drop versions %s: %w", filter, translate(err))
	}
	return nil
}

// storedIncarnations answers which incarnations of an app have versions in the bucket.
func (s *Store) storedIncarnations(ctx context.Context, ref AppRef) ([]string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	filter := versionSubjects + appKey(ref) + ".>"
	info, err := s.buckets.versionStream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("find versions of app %s: %w", ref, translate(err))
	}
	var incarnations []string
	for subject := range info.State.Subjects {
		incarnation, err := parseVersionSubject(subject)
		if err != nil {
			return nil, err
		}
		incarnations = append(incarnations, incarnation)
	}
	slices.Sort(incarnations)
	return slices.Compact(incarnations), nil
}
