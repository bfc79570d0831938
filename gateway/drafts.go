package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// maxBuildLog is how much of what a compiler printed is answered: its end.
const maxBuildLog = 64 << 10

// errDraftReplaced ends a change of a draft that is no longer the one it was made for.
var errDraftReplaced = newFault(codes.Aborted, "the draft was replaced meanwhile: compile the new one")

func (s *service) SaveDraft(ctx context.Context, r *ignitev1.SaveDraftRequest) (*ignitev1.SaveDraftResponse, error) {
	var v violations
	v.schema("input_schema", r.GetInputSchema())
	v.schema("output_schema", r.GetOutputSchema())
	code, archive := v.code("code", r.GetCode())
	if err := v.err(); err != nil {
		return nil, err
	}
	if _, err := s.app(ctx, r); err != nil {
		return nil, err
	}
	draft, err := s.newDraft(ctx, code, archive)
	if err != nil {
		return nil, err
	}
	_, err = s.update(ctx, refOf(r), func(app *store.App) error {
		app.Draft = new(*draft)
		set(&app.InputSchema, r.InputSchema)
		set(&app.OutputSchema, r.OutputSchema)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ignitev1.SaveDraftResponse{Draft: publicDraft(*draft)}, nil
}

// newDraft checks code and stores its archive.
func (s *service) newDraft(ctx context.Context, code store.Code, archive []byte) (*store.Draft, error) {
	if int64(len(archive)) > s.cfg.MaxCodeBytes {
		return nil, tooLarge("code: the archive", s.cfg.MaxCodeBytes)
	}
	if err := s.cfg.Builder.Check(code, archive); err != nil {
		return nil, invalidCode(err)
	}
	if len(archive) > 0 {
		hash, err := s.cfg.Store.PutCode(ctx, archive)
		if err != nil {
			return nil, fmt.Errorf("store the archive: %w", err)
		}
		code.Hash = hash
	}
	return &store.Draft{Code: code, Status: store.DraftSaved, CreatedAt: time.Now()}, nil
}

// invalidCode names the field of what is the code's fault; other errors pass.
func invalidCode(err error) error {
	if errors.Is(err, store.ErrInvalidCode) {
		return badField("code", "cannot be used: %s", strings.TrimPrefix(err.Error(), store.ErrInvalidCode.Error()+": "))
	}
	return err
}

func (s *service) GetDraftInfo(ctx context.Context, r *ignitev1.GetDraftInfoRequest) (*ignitev1.GetDraftInfoResponse, error) {
	app, err := s.app(ctx, r)
	if err != nil {
		return nil, err
	}
	if app.Draft == nil {
		return nil, newFault(codes.NotFound, "app %s has no draft: nothing was saved since the last publish", app)
	}
	return &ignitev1.GetDraftInfoResponse{Draft: publicDraft(*app.Draft)}, nil
}

func (s *service) CompileDraft(ctx context.Context, r *ignitev1.CompileDraftRequest) (*ignitev1.CompileDraftResponse, error) {
	app, err := s.app(ctx, r)
	if err != nil {
		return nil, err
	}
	if app.Draft == nil {
		return nil, noDraft(app.AppRef)
	}
	app, log, err := s.compile(ctx, app.AppRef)
	if err != nil {
		return nil, err
	}
	return &ignitev1.CompileDraftResponse{Draft: publicDraft(*app.Draft), Log: lastBytes(log, maxBuildLog)}, nil
}

// compile builds the draft and records how that ended. A draft that does not build is no error. If nothing is known because the
// caller left or the platform failed, the draft is again as it was saved.
func (s *service) compile(ctx context.Context, ref store.AppRef) (app store.App, log string, err error) {
	lines, err := s.beginBuildLog(ctx, ref)
	if err != nil {
		return store.App{}, "", err
	}
	defer func() { lines.end(app, err) }()
	app, err = s.update(ctx, ref, func(app *store.App) error {
		if app.Draft == nil {
			return noDraft(app.AppRef)
		}
		app.Draft = new(*app.Draft)
		app.Draft.Status, app.Draft.DeployID, app.Draft.Error = store.DraftCompiling, lines.id, ""
		return nil
	})
	if err != nil {
		return store.App{}, "", err
	}
	artifact, log, buildErr := s.build(ctx, app.Draft.Code, lines)
	ctx, cancel := finishing(ctx)
	defer cancel()
	app, err = s.update(ctx, ref, func(app *store.App) error {
		if app.Draft == nil || app.Draft.DeployID != lines.id {
			return errDraftReplaced
		}
		app.Draft = new(*app.Draft)
		settleDraft(app.Draft, artifact, buildErr)
		return nil
	})
	if buildErr != nil && !errors.Is(buildErr, store.ErrInvalidCode) {
		return store.App{}, "", buildErr
	}
	return app, log, err
}

func settleDraft(draft *store.Draft, artifact string, err error) {
	switch {
	case err == nil:
		draft.Status, draft.ArtifactHash, draft.CompiledAt = store.DraftCompiled, artifact, time.Now()
	case errors.Is(err, store.ErrInvalidCode):
		draft.Status, draft.Error, draft.CompiledAt = store.DraftFailed, lastBytes(err.Error(), maxBuildLog), time.Now()
	default:
		draft.Status = store.DraftSaved
	}
}

// build answers the hash of what a pod is to run.
func (s *service) build(ctx context.Context, code store.Code, lines io.Writer) (artifact, log string, err error) {
	archive, err := s.archive(ctx, code.Hash)
	if err != nil {
		return "", "", err
	}
	built, log, err := s.cfg.Builder.Build(ctx, code, archive, lines)
	if err != nil {
		return "", log, fmt.Errorf("build: %w", err)
	}
	if built == nil {
		return code.Hash, log, nil
	}
	artifact, err = s.cfg.Store.PutCode(ctx, built)
	if err != nil {
		return "", log, fmt.Errorf("store what was built: %w", err)
	}
	return artifact, log, nil
}

// archive reads an archive whole; nil for code that has none.
func (s *service) archive(ctx context.Context, hash string) ([]byte, error) {
	if hash == "" {
		return nil, nil
	}
	file, err := s.cfg.Store.Code(ctx, hash)
	if err != nil {
		return nil, fmt.Errorf("open archive %s: %w", hash, err)
	}
	archive, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read archive %s: %w", hash, err)
	}
	return archive, nil
}

func (s *service) PublishDraft(ctx context.Context, r *ignitev1.PublishDraftRequest) (*ignitev1.PublishDraftResponse, error) {
	app, err := s.compiled(ctx, r)
	if err != nil {
		return nil, err
	}
	version := store.Version{
		AppRef:       app.AppRef,
		Incarnation:  app.Incarnation,
		Config:       app.Config,
		Code:         app.Draft.Code,
		ArtifactHash: app.Draft.ArtifactHash,
		CreatedAt:    time.Now(),
	}
	app, version, err = s.cfg.Store.PublishVersion(ctx, version, hostLabels(app.AppRef, app.Ports))
	if err != nil {
		return nil, hostTaken(noApp(refOf(r), err))
	}
	m, err := s.metaOf(ctx, app)
	if err != nil {
		return nil, err
	}
	return &ignitev1.PublishDraftResponse{Version: version.Number, App: m}, nil
}

// compiled answers the app with a draft that is ready to be published.
func (s *service) compiled(ctx context.Context, r appMessage) (store.App, error) {
	app, err := s.app(ctx, r)
	if err != nil {
		return store.App{}, err
	}
	if app.Draft == nil {
		return store.App{}, noDraft(app.AppRef)
	}
	if app.Draft.Status == store.DraftCompiled {
		return app, nil
	}
	if app, _, err = s.compile(ctx, app.AppRef); err != nil {
		return store.App{}, err
	}
	if app.Draft.Status == store.DraftFailed {
		return store.App{}, newFault(codes.FailedPrecondition, "the draft of %s does not compile: %s", app, app.Draft.Error)
	}
	return app, nil
}

func noDraft(ref store.AppRef) error {
	return newFault(codes.FailedPrecondition, "app %s has no draft: save one first", ref)
}

// hostTaken names the host that another app owns, and not the app, which may be another organization's.
func hostTaken(err error) error {
	taken, ok := errors.AsType[*store.HostTakenError](err)
	if !ok {
		return err
	}
	return newFault(codes.AlreadyExists, "the host name %s of port %d of app %s belongs to port %d of app %s: choose another app name or port",
		taken.Host, taken.ForPort, taken.For, taken.Port, taken.Owner)
}

// lastBytes is the end of text, at most limit bytes of it.
func lastBytes(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return validUTF8(text[len(text)-limit:])
}
