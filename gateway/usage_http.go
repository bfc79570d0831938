package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// appUsage is what an app's direct calls add up to since it was first called. Numbers are strings, like every 64-bit number of this API.
type appUsage struct {
	AppID    string `json:"appId"`
	Answered uint64 `json:"answered,string"`
	Left     uint64 `json:"left,string"`
	Failed   uint64 `json:"failed,string"`
}

func newAppUsage(ref store.AppRef, u store.Usage) appUsage {
	return appUsage{AppID: ref.String(), Answered: u.Answered, Left: u.Left, Failed: u.Failed}
}

// serveUsage answers the counters of one app to who may read it.
func (g *Gateway) serveUsage(w http.ResponseWriter, r *http.Request) {
	request := &ignitev1.GetAppRequest{OrganizationName: r.PathValue("organization_name"), AppName: r.PathValue("app_name")}
	g.serveCounts(w, r, request, func(ctx context.Context) (any, error) {
		usage, err := g.service.cfg.Store.Usage(ctx, refOf(request))
		return newAppUsage(refOf(request), usage), err
	})
}

// serveUsages answers the counters of all apps of an organization, by name; those that were deleted stay in it.
func (g *Gateway) serveUsages(w http.ResponseWriter, r *http.Request) {
	request := &ignitev1.ListAppsRequest{OrganizationName: r.URL.Query().Get("organizationName")}
	g.serveCounts(w, r, request, func(ctx context.Context) (any, error) {
		usages, err := g.service.cfg.Store.UsageOf(ctx, request.GetOrganizationName())
		apps := make([]appUsage, 0, len(usages))
		for ref, usage := range usages {
			apps = append(apps, newAppUsage(ref, usage))
		}
		slices.SortFunc(apps, func(a, b appUsage) int { return strings.Compare(a.AppID, b.AppID) })
		return map[string]any{"apps": apps}, err
	})
}

// serveCounts answers what read reads to who may make request.
func (g *Gateway) serveCounts(w http.ResponseWriter, r *http.Request, request orgMessage, read func(context.Context) (any, error)) {
	const method = ignitev1.ComputeService_GetApp_FullMethodName
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		if err := g.guard.admit(ctx, method, request); err != nil {
			return err
		}
		counts, err := read(ctx)
		if err != nil {
			return err
		}
		text, err := json.Marshal(counts)
		if err != nil {
			return fmt.Errorf("encode counters: %w", err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, err = w.Write(text)
		return left(err)
	})
	answerError(w, err, false)
}
