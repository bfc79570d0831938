package pod

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The headers by which a pod learns which call it has.
const (
	HeaderExecutionID    = "X-Ignite-Execution-Id"
	HeaderFunctionID     = "X-Ignite-Function-Id"
	HeaderOrganizationID = "X-Ignite-Organization-Id"
	HeaderAttempt        = "X-Ignite-Attempt"
)

// outgoing is the header that the pod sees: the envelope's without what belongs to one connection, with the identity.
func outgoing(header http.Header, id Identity) http.Header {
	listed := valuesFold(header, "Connection")
	out := make(http.Header, len(header)+5)
	for name, values := range header {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if ofConnection(canonical) || ofRequestLine(canonical) || isIdentity(name) || httpguts.HeaderValuesContainsToken(listed, name) {
			continue
		}
		out[name] = values
	}
	keepUserAgent(out)
	if httpguts.HeaderValuesContainsToken(valuesFold(header, "Te"), "trailers") {
		out["Te"] = []string{"trailers"}
	}
	id.set(out)
	return out
}

// keepUserAgent stops net/http from naming itself. An empty value means that none is sent, and other values are written from
// under a spelling that net/http does not look for, because it would send only the first of several.
func keepUserAgent(header http.Header) {
	if given := valuesFold(header, "User-Agent"); len(given) > 0 {
		deleteFold(header, "User-Agent")
		header["user-agent"] = given
	}
	header["User-Agent"] = []string{""}
}

func (id Identity) set(header http.Header) {
	header[HeaderExecutionID] = []string{id.ExecutionID}
	header[HeaderFunctionID] = []string{id.FunctionID}
	header[HeaderOrganizationID] = []string{id.OrganizationID}
	header[HeaderAttempt] = []string{strconv.FormatUint(uint64(id.Attempt), 10)}
}

func (id Identity) valid() bool {
	return httpguts.ValidHeaderFieldValue(id.ExecutionID) &&
		httpguts.ValidHeaderFieldValue(id.FunctionID) &&
		httpguts.ValidHeaderFieldValue(id.OrganizationID)
}

// isIdentity knows the four names in any case, and with underscores: many servers hand a program X_A and X-A under one name.
func isIdentity(name string) bool {
	const prefix = "x-ignite-"
	if len(name) < len(prefix) {
		return false
	}
	name = strings.ReplaceAll(name, "_", "-")
	if !strings.EqualFold(name[:len(prefix)], prefix) {
		return false
	}
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case HeaderExecutionID, HeaderFunctionID, HeaderOrganizationID, HeaderAttempt:
		return true
	}
	return false
}

// ofConnection reports headers that speak about one connection and not about the message (RFC 9110, 7.6.1).
func ofConnection(canonical string) bool {
	switch canonical {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// ofRequestLine reports headers that the transport writes from other parts of the request, and Expect: whoever waits
// for a 100 is answered before a pod is chosen.
func ofRequestLine(canonical string) bool {
	switch canonical {
	case "Host", "Content-Length", "Expect":
		return true
	}
	return false
}

// stripAnswer removes what the pod said about its connection to us.
func stripAnswer(header http.Header) {
	for _, value := range header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			header.Del(textproto.TrimString(name))
		}
	}
	for name := range header {
		if ofConnection(name) {
			delete(header, name)
		}
	}
}

// valuesFold finds name in any case, as a header that did not come through net/http may hold it.
func valuesFold(header http.Header, name string) []string {
	var all []string
	for key, values := range header {
		if strings.EqualFold(key, name) {
			all = slices.Concat(all, values)
		}
	}
	return all
}

func deleteFold(header http.Header, name string) {
	for key := range header {
		if strings.EqualFold(key, name) {
			delete(header, key)
		}
	}
}
