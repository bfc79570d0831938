package auth

import "strings"

// maxToken bounds what is hashed and parsed for callers who are not known yet. Tokens of large providers have some 4 KiB.
const maxToken = 16 << 10

// BearerFromHeader answers the token of an Authorization header ("Bearer <token>", RFC 6750). The scheme may be in any case;
// anything but exactly one well-formed token is not ok.
func BearerFromHeader(value string) (token string, ok bool) {
	scheme, rest, found := strings.Cut(value, " ")
	if !found || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	token = strings.Trim(rest, " ")
	if len(token) > maxToken || !isToken(token) {
		return "", false
	}
	return token, true
}

// isToken reports whether token has the form that RFC 6750 gives it, which leaves out spaces and commas.
func isToken(token string) bool {
	body := strings.TrimRight(token, "=")
	return body != "" && strings.IndexFunc(body, func(r rune) bool {
		letterOrDigit := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letterOrDigit && !strings.ContainsRune("-._~+/", r)
	}) < 0
}
