// Package auth says who is calling and what they may do. Nothing below the gateway sees a token.
//
// A Verifier turns a bearer token into a Principal. There are two kinds of issuer: Static, whose key lies in the data
// folder and which `ignited token` signs for, and OIDC, an OpenID Connect provider. Any lets them work side by side, Cached makes a
// token that was verified a moment ago cheap. What the Principal may do is asked of it: Authorize for a method, In for an
// organization, MayInvoke for the apps of one.
package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// What callers decide by.
var (
	// ErrUnauthenticated says that there is no token, or none that can be trusted.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrExpired is the ErrUnauthenticated of a token that was good until its end.
	ErrExpired = fmt.Errorf("%w: the token has expired", ErrUnauthenticated)
	// ErrForbidden says that the caller is known and may not.
	ErrForbidden = errors.New("forbidden")
	// ErrProviderUnavailable says that the identity provider could not be asked for its keys: the token may be good,
	// and the caller may try again.
	ErrProviderUnavailable = errors.New("identity provider is unavailable")
)

// PublicOrg is the organization whose apps any authenticated caller may invoke.
const PublicOrg = "public"

// Principal is a caller whose token was verified. It is shared by all requests that come with the same token: read only.
type Principal struct {
	// Subject is who the token was made for. It is for logs alone: nothing is decided by it, and it may be empty.
	Subject string
	// Orgs are the organizations of the token, name to id.
	Orgs   map[string]string
	Scopes []string
	// Expires is when the token ends. A call that was let in before goes on.
	Expires time.Time
}

// Verifier turns a bearer token into a Principal. What it answers is an ErrUnauthenticated, an ErrProviderUnavailable
// or the end of ctx. It may be called concurrently.
type Verifier interface {
	Verify(ctx context.Context, token string) (Principal, error)
}

// In reports as an ErrForbidden that the caller is no member of org.
func (p Principal) In(org string) error {
	if _, ok := p.Orgs[org]; !ok {
		return fmt.Errorf("%w: the caller does not belong to organization %q", ErrForbidden, org)
	}
	return nil
}

// MayInvoke is In for invoking the apps of org and for nothing else: those of PublicOrg are open to every caller who is
// known, while reading and changing them stays with its members.
func (p Principal) MayInvoke(org string) error {
	if org == PublicOrg {
		return nil
	}
	return p.In(org)
}

// Home is the organization that owns what the caller does with an app of PublicOrg, such as the record of an execution: the
// caller's own, and of several the first by name, so that it is the same every time.
func (p Principal) Home() (string, error) {
	if len(p.Orgs) == 0 {
		return "", fmt.Errorf("%w: the token names no organization", ErrForbidden)
	}
	return slices.Min(slices.Collect(maps.Keys(p.Orgs))), nil
}

// May reports as an ErrForbidden that the caller lacks scope.
func (p Principal) May(scope string) error {
	if !slices.Contains(p.Scopes, scope) {
		return fmt.Errorf("%w: the token lacks the scope %s", ErrForbidden, scope)
	}
	return nil
}
