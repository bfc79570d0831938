package pod

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// Envelope is the HTTP request that a pod is to see, without its body.
type Envelope struct {
	// Method is an HTTP verb; empty means POST.
	Method string `json:"method,omitempty"`
	// Path as it was sent, percent-encoding included; empty means "/".
	Path string `json:"path,omitempty"`
	// Query without "?", as it was sent.
	Query string `json:"query,omitempty"`
	// ForceQuery keeps the "?" of a query that is empty.
	ForceQuery bool        `json:"force_query,omitempty"`
	Header     http.Header `json:"header,omitempty"`
}

// Head is what waits in the queue for an execution besides its body: everything needed to make the call except the attempt's number.
type Head struct {
	Envelope Envelope `json:"envelope"`
	Identity Identity `json:"identity"`
	// Object names the stored payload when the body is too large for the message, and ObjectSize is how many bytes it has.
	Object     string `json:"object,omitempty"`
	ObjectSize int64  `json:"object_size,omitempty"`
}

// EncodeHead writes h for the queue. The attempt is left out, for it is not known before one begins. A path, query or
// header that is not UTF-8 is an *EnvelopeError: JSON would carry something else than what was sent.
func EncodeHead(h Head) ([]byte, error) {
	if err := h.Envelope.checkText(); err != nil {
		return nil, fmt.Errorf("encode head: %w", err)
	}
	h.Identity.Attempt = 0
	data, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode head: %w", err)
	}
	return data, nil
}

// DecodeHead reads what EncodeHead wrote and refuses an envelope that could not be sent.
func DecodeHead(data []byte) (Head, error) {
	var h Head
	if err := json.Unmarshal(data, &h); err != nil {
		return Head{}, fmt.Errorf("decode head: %w", err)
	}
	if err := h.Envelope.Validate(); err != nil {
		return Head{}, fmt.Errorf("decode head: %w", err)
	}
	h.Identity.Attempt = 0
	return h, nil
}

// Validate answers an *EnvelopeError for an envelope that cannot be sent as it is.
func (e Envelope) Validate() error {
	return cmp.Or(e.checkMethod(), e.checkPath(), e.checkQuery(), e.checkHeader())
}

func (e Envelope) checkMethod() error {
	switch {
	case e.Method == "":
		return nil
	case !httpguts.ValidHeaderFieldName(e.Method): // both are a token of RFC 9110
		return &EnvelopeError{"method", fmt.Sprintf("%q is not an HTTP verb", e.Method)}
	case e.Method == http.MethodConnect:
		return &EnvelopeError{"method", "CONNECT asks for a tunnel, and there is none"}
	}
	return nil
}

func (e Envelope) checkPath() error {
	switch {
	case e.Path == "":
		return nil
	case e.Path[0] != '/':
		return &EnvelopeError{"path", "it does not begin with /"}
	case strings.ContainsAny(e.Path, "?#"):
		return &EnvelopeError{"path", "it holds ? or #; what follows a ? belongs in the query"}
	case strings.ContainsFunc(e.Path, endsTarget):
		return &EnvelopeError{"path", "it holds a space or a control character"}
	}
	if _, err := url.PathUnescape(e.Path); err != nil {
		return &EnvelopeError{"path", err.Error()}
	}
	return nil
}

func (e Envelope) checkQuery() error {
	switch {
	case strings.Contains(e.Query, "#"):
		return &EnvelopeError{"query", "it holds #"}
	case strings.ContainsFunc(e.Query, endsTarget):
		return &EnvelopeError{"query", "it holds a space or a control character"}
	}
	return nil
}

// endsTarget reports characters that would end the request line, or the word in it.
func endsTarget(r rune) bool { return r <= ' ' || r == 0x7f }

func (e Envelope) checkHeader() error {
	for name, values := range e.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return &EnvelopeError{"headers", fmt.Sprintf("%q is not a header name", name)}
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return &EnvelopeError{"headers", fmt.Sprintf("the value of %s holds a control character", name)}
			}
		}
	}
	return checkHost(e.Header)
}

func checkHost(header http.Header) error {
	hosts := valuesFold(header, "Host")
	if len(hosts) > 1 {
		return &EnvelopeError{"headers", "Host is given more than once"}
	}
	for _, host := range hosts {
		_, err := httpguts.PunycodeHostPort(host)
		if err != nil || !httpguts.ValidHostHeader(host) {
			return &EnvelopeError{"headers", fmt.Sprintf("Host %q is not a host name", host)}
		}
	}
	return nil
}

func (e Envelope) checkText() error {
	switch {
	case !utf8.ValidString(e.Path):
		return &EnvelopeError{"path", "it is not UTF-8"}
	case !utf8.ValidString(e.Query):
		return &EnvelopeError{"query", "it is not UTF-8"}
	}
	for name, values := range e.Header {
		for _, value := range values {
			if !utf8.ValidString(value) {
				return &EnvelopeError{"headers", "the value of " + name + " is not UTF-8"}
			}
		}
	}
	return nil
}

// target is addr with the envelope's path and query, byte for byte.
func (e Envelope) target(addr *url.URL) *url.URL {
	u := &url.URL{Scheme: addr.Scheme, Host: addr.Host, RawQuery: e.Query, ForceQuery: e.ForceQuery}
	path := cmp.Or(e.Path, "/")
	if !strings.HasPrefix(path, "//") {
		u.Opaque = path
		return u
	}
	// An opaque part that begins with // would be sent as an absolute URL. The way by RawPath is exact for every
	// character that a path may hold by RFC 3986; net/url percent-encodes the others.
	u.RawPath = path
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path = plain
	}
	return u
}
