package gateway

import "dodil.io/ignite/store"

// orgMessage is a request that is about one organization.
type orgMessage interface{ GetOrganizationName() string }

// appMessage is a request that is about one app.
type appMessage interface {
	orgMessage
	GetAppName() string
}

func refOf(m appMessage) store.AppRef {
	return store.AppRef{Org: m.GetOrganizationName(), Name: m.GetAppName()}
}

// checkNames refuses names that no organization and no app can have.
func checkNames(request any) error {
	var v violations
	if m, ok := request.(orgMessage); ok && !store.ValidName(m.GetOrganizationName()) {
		v.add("organization_name", "is not allowed: %s", store.NameRule)
	}
	if m, ok := request.(appMessage); ok && !store.ValidName(m.GetAppName()) {
		v.add("app_name", "is not allowed: %s", store.NameRule)
	}
	return v.err()
}
