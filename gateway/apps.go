package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

func (s *service) CreateApp(ctx context.Context, r *ignitev1.CreateAppRequest) (*ignitev1.CreateAppResponse, error) {
	app, archive, err := s.newApp(r)
	if err != nil {
		return nil, err
	}
	if app.Draft != nil {
		if app.Draft, err = s.newDraft(ctx, app.Draft.Code, archive); err != nil {
			return nil, err
		}
	}
	_, err = s.cfg.Store.CreateApp(ctx, app)
	if errors.Is(err, store.ErrExists) {
		return nil, newFault(codes.AlreadyExists, "organization %s has an app %s already", app.Org, app.Name)
	}
	if err != nil {
		return nil, err
	}
	return &ignitev1.CreateAppResponse{
		AppId:           app.String(),
		DeploymentState: ignitev1.DeploymentState_DEPLOYMENT_STATE_CREATED,
		AppliedTier:     toPublic(tiers, app.Tier),
		AppliedLimits:   appliedLimits(app.Config),
		Notes:           s.scalingNotes(app.Config),
	}, nil
}

// newApp is the app that r asks for, with a draft that has not been looked at if r brings code.
func (s *service) newApp(r *ignitev1.CreateAppRequest) (app store.App, archive []byte, err error) {
	var v violations
	if !store.ValidName(r.GetName()) {
		v.add("name", "is not allowed: %s", store.NameRule)
	}
	app.AppRef = store.AppRef{Org: r.GetOrganizationName(), Name: r.GetName()}
	app.Config = store.Config{
		Description:    r.GetDescription(),
		Env:            r.GetEnv(),
		Tier:           toStored(tiers, r.GetResourceTier()),
		Limits:         storedLimits(r.GetLimits()),
		Scaling:        storedScaling(r.GetScaling()),
		Storage:        toStored(storageModes, r.GetStorageMode()),
		InputSchema:    r.GetInputSchema(),
		OutputSchema:   r.GetOutputSchema(),
		MCPEnabled:     r.GetMcpEnabled(),
		MaxConcurrency: r.GetMaxConcurrency(),
		Ports:          r.GetPorts(),
		HealthPath:     r.GetHealthPath(),
		Retry:          storedRetry(r.GetRetry()),

		AllowUnauthenticated: r.GetAllowUnauthenticated(),
		CORSOrigins:          r.GetCorsOrigins(),
		MaxAsyncInFlight:     r.GetMaxAsyncInFlight(),
	}
	v.retry(r.GetRetry(), store.DefaultRetry())
	v.enum("resource_tier", int32(r.GetResourceTier()), ignitev1.ResourceTier_name)
	v.enum("storage_mode", int32(r.GetStorageMode()), ignitev1.StorageMode_name)
	v.enum("scaling.scale_metric", int32(r.GetScaling().GetScaleMetric()), ignitev1.ScaleMetric_name)
	v.config(app.Config)
	if r.GetCode() != nil {
		app.Draft = &store.Draft{}
		app.Draft.Code, archive = v.code("code", r.GetCode())
	}
	return app, archive, v.err()
}

func (s *service) GetApp(ctx context.Context, r *ignitev1.GetAppRequest) (*ignitev1.GetAppResponse, error) {
	app, err := s.app(ctx, r)
	if err != nil {
		return nil, err
	}
	m, err := s.metaOf(ctx, app)
	if err != nil {
		return nil, err
	}
	return &ignitev1.GetAppResponse{App: m}, nil
}

func (s *service) ListApps(ctx context.Context, r *ignitev1.ListAppsRequest) (*ignitev1.ListAppsResponse, error) {
	after, err := parseCursor(appCursor, r.GetCursor())
	if err != nil {
		return nil, err
	}
	limit := pageSize(r.GetLimit())
	apps, err := s.cfg.Store.Apps(ctx, r.GetOrganizationName(), after, limit+1)
	if err != nil {
		return nil, err
	}
	metas, err := s.metasOf(ctx, apps[:min(limit, len(apps))])
	if err != nil {
		return nil, err
	}
	page := &ignitev1.ListAppsResponse{Apps: metas[:fitting(metas)]}
	if shown := len(page.GetApps()); shown < len(apps) {
		page.NextCursor = cursor(appCursor, apps[shown-1].Name)
	}
	return page, nil
}

func (s *service) UpdateAppConfig(ctx context.Context, r *ignitev1.UpdateAppConfigRequest) (*ignitev1.UpdateAppConfigResponse, error) {
	app, err := s.update(ctx, refOf(r), func(app *store.App) error {
		var v violations
		app.Config = v.updated(app.Config, r)
		v.config(app.Config)
		return v.err()
	})
	if err != nil {
		return nil, err
	}
	m, err := s.metaOf(ctx, app)
	return &ignitev1.UpdateAppConfigResponse{App: m, Notes: s.scalingNotes(app.Config)}, err
}

// updated is c with what is present in r.
func (v *violations) updated(c store.Config, r *ignitev1.UpdateAppConfigRequest) store.Config {
	v.enum("resource_tier", int32(r.GetResourceTier()), ignitev1.ResourceTier_name)
	v.enum("storage_mode", int32(r.GetStorageMode()), ignitev1.StorageMode_name)
	v.enum("scaling.scale_metric", int32(r.GetScaling().GetScaleMetric()), ignitev1.ScaleMetric_name)
	v.retry(r.GetRetry(), store.DefaultRetry())
	set(&c.Description, r.Description)
	set(&c.InputSchema, r.InputSchema)
	set(&c.OutputSchema, r.OutputSchema)
	set(&c.MCPEnabled, r.McpEnabled)
	set(&c.MaxConcurrency, r.MaxConcurrency)
	set(&c.HealthPath, r.HealthPath)
	set(&c.AllowUnauthenticated, r.AllowUnauthenticated)
	set(&c.MaxAsyncInFlight, r.MaxAsyncInFlight)
	if r.ResourceTier != nil {
		c.Tier = toStored(tiers, r.GetResourceTier())
	}
	if r.StorageMode != nil {
		c.Storage = toStored(storageModes, r.GetStorageMode())
	}
	if r.Limits != nil {
		c.Limits = storedLimits(r.GetLimits())
	}
	if r.Scaling != nil {
		c.Scaling = storedScaling(r.GetScaling())
	}
	if r.Retry != nil {
		c.Retry = storedRetry(r.GetRetry())
	}
	if len(r.GetPorts()) > 0 {
		c.Ports = r.GetPorts()
	}
	if origins := r.GetCorsOrigins(); len(origins) > 0 {
		c.CORSOrigins = slices.DeleteFunc(slices.Clone(origins), func(origin string) bool { return origin == "" })
	}
	c.Env = mergedEnv(c.Env, r)
	return c
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// mergedEnv leaves old as it is, for others read it too.
func mergedEnv(old map[string]string, r *ignitev1.UpdateAppConfigRequest) map[string]string {
	env := maps.Clone(old)
	if r.GetReplaceEnv() != nil {
		env = maps.Clone(r.GetReplaceEnv().GetValues())
	}
	if env == nil {
		env = make(map[string]string, len(r.GetEnv()))
	}
	for key, value := range r.GetEnv() {
		if value == "" {
			delete(env, key)
			continue
		}
		env[key] = value
	}
	return env
}

func (s *service) DeleteApp(ctx context.Context, r *ignitev1.DeleteAppRequest) (*ignitev1.DeleteAppResponse, error) {
	if err := s.cfg.Store.DeleteApp(ctx, refOf(r)); err != nil {
		return nil, noApp(refOf(r), err)
	}
	return &ignitev1.DeleteAppResponse{}, nil
}

// app answers the app that a request is about.
func (s *service) app(ctx context.Context, r appMessage) (store.App, error) {
	app, err := s.cfg.Store.App(ctx, refOf(r))
	if err != nil {
		return store.App{}, noApp(refOf(r), err)
	}
	return app, nil
}

func (s *service) update(ctx context.Context, ref store.AppRef, change func(*store.App) error) (store.App, error) {
	app, err := s.cfg.Store.UpdateApp(ctx, ref, change)
	if err != nil {
		return store.App{}, noApp(ref, err)
	}
	return app, nil
}

// noApp names the app that was not found; other errors pass.
func noApp(ref store.AppRef, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return newFault(codes.NotFound, "organization %s has no app %s", ref.Org, ref.Name)
	}
	return err
}
