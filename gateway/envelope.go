package gateway

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/gateway/auth"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// maxHead bounds path, query and headers of an envelope together: they must fit beside a body into a NATS message.
const maxHead = 256 << 10

// newEnvelope is the request that a pod is to see. Without an http part it is POST /.
func newEnvelope(h *ignitev1.HttpContext) (pod.Envelope, error) {
	var v violations
	v.enum("http.method", int32(h.GetMethod()), ignitev1.HttpMethod_name)
	envelope := pod.Envelope{
		Method: toStored(methods, h.GetMethod()),
		Path:   h.GetPath(),
		Query:  h.GetQuery(),
		Header: envelopeHeader(h),
	}
	if headSize(envelope) > maxHead {
		v.add("http", "must be at most %d bytes in path, query and headers together", maxHead)
	}
	if bad, ok := errors.AsType[*pod.EnvelopeError](envelope.Validate()); ok {
		v.add("http."+bad.Field, "cannot be sent: %s", bad.Reason)
	}
	return envelope, v.err()
}

// envelopeHeader is headers and after them header_fields, in their order.
func envelopeHeader(h *ignitev1.HttpContext) http.Header {
	header := make(http.Header, len(h.GetHeaders())+len(h.GetHeaderFields()))
	for _, name := range sortedKeys(h.GetHeaders()) {
		header.Add(name, h.GetHeaders()[name])
	}
	for _, field := range h.GetHeaderFields() {
		header.Add(field.GetName(), field.GetValue())
	}
	return header
}

func headSize(e pod.Envelope) int {
	size := len(e.Path) + len(e.Query)
	for name, values := range e.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return size
}

// stripToken takes the caller's own token out of what goes to a pod. Credentials that are the app's business stay.
func stripToken(header http.Header, token string) {
	values := slices.DeleteFunc(header["Authorization"], func(value string) bool {
		carried, ok := auth.BearerFromHeader(value)
		return ok && carried == token
	})
	if header["Authorization"] = values; len(values) == 0 {
		delete(header, "Authorization")
	}
}

// stripCredentials takes out every credential: nothing that opens a door is stored.
func stripCredentials(header http.Header) {
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization"} {
		header.Del(name)
	}
}

// dropHopByHop takes out what speaks about one connection (RFC 9110, 7.6.1).
func dropHopByHop(header http.Header) {
	for _, line := range header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		header.Del(name)
	}
}
