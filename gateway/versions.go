package gateway

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

func (s *service) ListAppVersions(ctx context.Context, r *ignitev1.ListAppVersionsRequest) (*ignitev1.ListAppVersionsResponse, error) {
	below, err := parseVersionCursor(r.GetCursor())
	if err != nil {
		return nil, err
	}
	app, err := s.app(ctx, r)
	if err != nil {
		return nil, err
	}
	limit := pageSize(r.GetLimit())
	versions, err := s.cfg.Store.Versions(ctx, app.AppRef, below, limit+1)
	if err != nil {
		return nil, noApp(app.AppRef, err)
	}
	page := &ignitev1.ListAppVersionsResponse{}
	if len(versions) > limit {
		versions = versions[:limit]
		page.NextCursor = cursor(versionCursor, strconv.FormatUint(uint64(versions[limit-1].Number), 10))
	}
	for _, version := range versions {
		page.Versions = append(page.Versions, versionInfo(app, version))
	}
	return page, nil
}

func parseVersionCursor(text string) (below uint32, err error) {
	last, err := parseCursor(versionCursor, text)
	if err != nil || last == "" {
		return 0, err
	}
	number, err := strconv.ParseUint(last, 10, 32)
	if err != nil || number == 0 {
		return 0, badField("cursor", "is not a next_cursor of this list")
	}
	return uint32(number), nil
}

func (s *service) GetAppVersion(ctx context.Context, r *ignitev1.GetAppVersionRequest) (*ignitev1.GetAppVersionResponse, error) {
	if r.GetVersion() == 0 {
		return nil, badField("version", "must be 1 or more")
	}
	app, version, err := s.appVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	return &ignitev1.GetAppVersionResponse{App: s.publicVersion(app, version)}, nil
}

// versionMessage is a request that is about one version of an app; 0 is the active one.
type versionMessage interface {
	appMessage
	GetVersion() uint32
}

func (s *service) appVersion(ctx context.Context, r versionMessage) (store.App, store.Version, error) {
	app, err := s.app(ctx, r)
	if err != nil {
		return store.App{}, store.Version{}, err
	}
	number := orDefault(r.GetVersion(), app.ActiveVersion)
	if number == 0 {
		return store.App{}, store.Version{}, notPublished(app.AppRef)
	}
	version, err := s.version(ctx, app.AppRef, number)
	return app, version, err
}

func (s *service) version(ctx context.Context, ref store.AppRef, number uint32) (store.Version, error) {
	version, err := s.cfg.Store.Version(ctx, ref, number)
	if errors.Is(err, store.ErrNotFound) {
		return store.Version{}, newFault(codes.NotFound, "app %s has no version %d", ref, number)
	}
	return version, err
}

func notPublished(ref store.AppRef) error {
	return newFault(codes.FailedPrecondition, "app %s was never published: save a draft and publish it first", ref)
}

func (s *service) RollbackApp(ctx context.Context, r *ignitev1.RollbackAppRequest) (*ignitev1.RollbackAppResponse, error) {
	app, err := s.app(ctx, r)
	if err != nil {
		return nil, err
	}
	target, err := s.rollbackTarget(ctx, app, r.GetVersion())
	if err != nil {
		return nil, err
	}
	app, err = s.cfg.Store.Activate(ctx, target)
	if err != nil {
		return nil, noApp(refOf(r), err)
	}
	m, err := s.metaOf(ctx, app)
	if err != nil {
		return nil, err
	}
	return &ignitev1.RollbackAppResponse{App: m}, nil
}

// rollbackTarget is the version that a caller means, who says 0 for the one before the active one.
func (s *service) rollbackTarget(ctx context.Context, app store.App, number uint32) (store.Version, error) {
	switch {
	case app.ActiveVersion == 0:
		return store.Version{}, notPublished(app.AppRef)
	case number != 0:
		return s.version(ctx, app.AppRef, number)
	}
	before, err := s.cfg.Store.Versions(ctx, app.AppRef, app.ActiveVersion, 1)
	if err != nil {
		return store.Version{}, noApp(app.AppRef, err)
	}
	if len(before) == 0 {
		return store.Version{}, newFault(codes.FailedPrecondition, "app %s has no version before %d", app, app.ActiveVersion)
	}
	return before[0], nil
}

func (s *service) GetAppCode(ctx context.Context, r *ignitev1.GetAppCodeRequest) (*ignitev1.GetAppCodeResponse, error) {
	_, version, err := s.appVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	archive, err := s.archive(ctx, version.Code.Hash)
	if err != nil {
		return nil, err
	}
	return &ignitev1.GetAppCodeResponse{
		SourceCode: archive,
		CodeHash:   version.Code.Hash,
		CodeKind:   toPublic(codeKinds, version.Code.Kind),
		Version:    version.Number,
	}, nil
}
