package proxy

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// writeHead puts the request line and the headers into the connection's buffer. That the server is gone shows when an answer is read.
func (x *exchange) writeHead(body body) {
	out := x.conn.writer
	line := func(name, value string) {
		_, _ = out.WriteString(name)
		_, _ = out.WriteString(": ")
		_, _ = out.WriteString(value)
		_, _ = out.WriteString("\r\n")
	}
	_, _ = out.WriteString(x.r.Method)
	_ = out.WriteByte(' ')
	_, _ = out.WriteString(target(x.r))
	_, _ = out.WriteString(" HTTP/1.1\r\n")
	line("Host", x.r.Host)
	eachHeader(x.r, x.call, line)
	if x.upgrade != "" {
		line("Connection", "Upgrade")
		line("Upgrade", x.upgrade)
	}
	if hasToken(x.r.Header["Te"], "trailers") {
		line("Te", "trailers")
	}
	body.frame(line)
	_, _ = out.WriteString("\r\n")
}

// target is path and query, byte for byte.
func target(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI() // a proxy's form, or OPTIONS *
}

// eachHeader calls line for every header that the server is to get, except those that speak about the connection.
func eachHeader(r *http.Request, c *Call, line func(name, value string)) {
	named := connectionTokens(r.Header["Connection"])
	for name, values := range r.Header {
		if hopByHop(name) || c.Drop != nil && c.Drop(name) || len(named) > 0 && containsFold(named, name) {
			continue
		}
		for _, value := range values {
			line(name, value)
		}
	}
	for _, field := range c.Set {
		line(field.Name, field.Value)
	}
	forwarded(r, line)
}

// forwarded adds us to what proxies before us said.
func forwarded(r *http.Request, line func(name, value string)) {
	if address, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		if before := r.Header["X-Forwarded-For"]; len(before) > 0 {
			address = strings.Join(before, ", ") + ", " + address
		}
		line("X-Forwarded-For", address)
	}
	if r.Header.Get("X-Forwarded-Host") == "" {
		line("X-Forwarded-Host", r.Host)
	}
	if r.Header.Get("X-Forwarded-Proto") == "" {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		line("X-Forwarded-Proto", scheme)
	}
}

// hopByHop reports headers that speak about one connection, and those that eachHeader and frame write by themselves.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding",
		"Upgrade", "Http2-Settings", "Host", "Content-Length", "Expect", "X-Forwarded-For":
		return true
	default:
		return false
	}
}

// dropHopByHop takes out of an answer what speaks about the server's connection.
func dropHopByHop(header http.Header) {
	for _, name := range connectionTokens(header["Connection"]) {
		header.Del(name)
	}
	for _, name := range [...]string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		delete(header, name)
	}
}

// connectionTokens are the headers that Connection names. What nearly every client says there names none.
func connectionTokens(lines []string) []string {
	var tokens []string
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.TrimSpace(token)
			if token != "" && !strings.EqualFold(token, "keep-alive") && !strings.EqualFold(token, "close") && !strings.EqualFold(token, "upgrade") {
				tokens = append(tokens, token)
			}
		}
	}
	return tokens
}

func hasToken(lines []string, wanted string) bool {
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), wanted) {
				return true
			}
		}
	}
	return false
}

func containsFold(tokens []string, name string) bool {
	for _, token := range tokens {
		if strings.EqualFold(token, name) {
			return true
		}
	}
	return false
}

// bodyKind is how a request's body goes on.
type bodyKind uint8

const (
	bodyNone  bodyKind = iota
	bodyShort          // its length is known, and it fits into buffers on the way
	bodyLong           // its length is known
	bodyChunked
)

// shortBody goes out at once with its head.
const shortBody = 16 << 10

// body says how the body of a request is framed.
type body struct {
	kind   bodyKind
	length int64
	// expects is the caller's Expect header.
	expects string
	// says that an empty body has a length all the same.
	says     bool
	trailers []string
}

func bodyOf(r *http.Request) body {
	b := body{length: r.ContentLength}
	for name := range r.Trailer {
		b.trailers = append(b.trailers, name)
	}
	switch {
	case r.ContentLength == 0 && len(b.trailers) == 0:
		b.says = len(r.Header["Content-Length"]) > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
	case r.ContentLength < 0 || len(b.trailers) > 0:
		b.kind = bodyChunked
	case r.ContentLength <= shortBody:
		b.kind = bodyShort
	default:
		b.kind = bodyLong
	}
	if b.kind != bodyNone && hasToken(r.Header["Expect"], "100-continue") {
		b.expects = "100-continue"
	}
	return b
}

// frame writes the headers that say so.
func (b body) frame(line func(name, value string)) {
	switch {
	case b.kind == bodyChunked:
		line("Transfer-Encoding", "chunked")
		if len(b.trailers) > 0 {
			line("Trailer", strings.Join(b.trailers, ", "))
		}
	case b.kind != bodyNone || b.says:
		line("Content-Length", strconv.FormatInt(b.length, 10))
	}
	if b.expects != "" {
		line("Expect", b.expects)
	}
}
