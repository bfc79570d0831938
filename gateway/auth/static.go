package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// StaticIssuer is the issuer of tokens that Sign makes.
	StaticIssuer = "ignite"
	// MaxTTL bounds the life of a token of Sign: there is no way to take one back but a new key.
	MaxTTL = 366 * 24 * time.Hour
	// algorithm is the only one that is signed with or accepted. One process, or several of one operator, both sign and verify, so a
	// shared key is enough; and it verifies in microseconds.
	algorithm = jose.HS256
	// leeway allows for clocks that differ between the one who signs and the one who verifies.
	leeway = 30 * time.Second
)

// TokenRequest says what a token is to hold.
type TokenRequest struct {
	Org string
	// OrgID is Org if empty.
	OrgID   string
	Subject string
	// Scopes must be among AllScopes.
	Scopes []string
	// TTL is the token's life, at most MaxTTL.
	TTL time.Duration
}

// Validate answers all faults of r at once; Sign does the same first.
func (r TokenRequest) Validate() error {
	var faults []error
	if !orgName.MatchString(r.Org) {
		faults = append(faults, fmt.Errorf("organization %q: a name has %s", r.Org, orgNameRule))
	}
	if r.TTL < time.Second || r.TTL > MaxTTL {
		faults = append(faults, fmt.Errorf("ttl %s: a token lives between %s and %s", r.TTL, time.Second, MaxTTL))
	}
	for _, scope := range r.Scopes {
		if !slices.Contains(AllScopes(), scope) {
			faults = append(faults, fmt.Errorf("scope %q: the scopes are %s", scope, strings.Join(AllScopes(), ", ")))
		}
	}
	return errors.Join(faults...)
}

// organization is the form in which a token tells the id of each of its organizations.
type organization struct {
	ID string `json:"id"`
}

// Sign makes a token that NewStatic of the same key accepts from now until its TTL has passed.
func Sign(key Key, r TokenRequest, now time.Time) (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key.secret[:]}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	registered := jwt.Claims{
		Issuer:    StaticIssuer,
		Subject:   r.Subject,
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now),
		Expiry:    jwt.NewNumericDate(now.Add(r.TTL)),
	}
	ours := map[string]any{
		"organization": map[string]organization{r.Org: {ID: cmp.Or(r.OrgID, r.Org)}},
		"scope":        strings.Join(r.Scopes, " "),
	}
	token, err := jwt.Signed(signer).Claims(registered).Claims(ours).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return token, nil
}

// Static verifies the tokens of Sign.
type Static struct{ key Key }

// NewStatic answers the verifier of tokens that were signed with key.
func NewStatic(key Key) *Static { return &Static{key: key} }

// IssuerName is StaticIssuer.
func (s *Static) IssuerName() string { return StaticIssuer }

// Verify does no I/O.
func (s *Static) Verify(_ context.Context, token string) (Principal, error) {
	signed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	var registered jwt.Claims
	var payload json.RawMessage
	if err := signed.Claims(s.key.secret[:], &registered, &payload); err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	if registered.Expiry == nil {
		return Principal{}, fmt.Errorf("%w: the token has no end (exp)", ErrUnauthenticated)
	}
	expected := jwt.Expected{Issuer: StaticIssuer, Time: time.Now()}
	if err := registered.ValidateWithLeeway(expected, leeway); errors.Is(err, jwt.ErrExpired) {
		return Principal{}, ErrExpired
	} else if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	return principalOf(payload, registered.Expiry.Time())
}
