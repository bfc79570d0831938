package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// preflightTime is how long a browser may remember the answer to a preflight, in seconds.
const preflightTime = "600"

// preflight answers a browser that asks whether a page of another origin may make a call. It wakes no pod. Apps that say nothing of origins get
// such a request like any other.
func (v *visit) preflight() bool {
	header := v.r.Header
	wanted := header.Get("Access-Control-Request-Method")
	if v.r.Method != http.MethodOptions || wanted == "" || len(header["Origin"]) != 1 || !v.speaksOfOrigins() {
		return false
	}
	out := v.w.Header()
	out["Vary"] = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	if v.allowsOrigin(header["Origin"][0]) {
		out.Set("Access-Control-Allow-Origin", header["Origin"][0])
		out.Set("Access-Control-Allow-Methods", wanted)
		if headers := header["Access-Control-Request-Headers"]; len(headers) > 0 {
			out.Set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
		}
		out.Set("Access-Control-Max-Age", preflightTime)
	}
	v.w.WriteHeader(http.StatusNoContent)
	v.call.Status = http.StatusNoContent
	return true
}

// speaksOfOrigins reports whether the app says which pages may read its answers.
func (v *visit) speaksOfOrigins() bool {
	return v.app.AllowUnauthenticated || len(v.app.CORSOrigins) > 0
}

// allowsOrigin reports whether pages of origin may read answers. Cookies are nobody's here: no answer allows credentials, so that "every
// origin" cannot act in a visitor's name.
func (v *visit) allowsOrigin(origin string) bool {
	if len(v.app.CORSOrigins) == 0 {
		return v.app.AllowUnauthenticated
	}
	return slices.ContainsFunc(v.app.CORSOrigins, func(allowed string) bool { return allowed == "*" || strings.EqualFold(allowed, origin) })
}

// openToPages lets pages read an answer, unless the pod has its own mind about that.
func (v *visit) openToPages(_ int, header http.Header) {
	if !v.speaksOfOrigins() || len(header["Access-Control-Allow-Origin"]) > 0 {
		return
	}
	header.Add("Vary", "Origin")
	if origin := v.r.Header["Origin"]; len(origin) == 1 && v.allowsOrigin(origin[0]) {
		header.Set("Access-Control-Allow-Origin", origin[0])
	}
}
