package auth

import (
	"context"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer is a Verifier of the tokens that one issuer makes.
type Issuer interface {
	Verifier
	// IssuerName is the claim "iss" of those tokens.
	IssuerName() string
}

// Any answers a Verifier that accepts the tokens of each of issuers.
//
// A token is handed to one of them only, by its claim "iss", which is read before anything is verified. That is safe because the
// claim merely chooses who is asked: each issuer verifies the token with keys of its own, and the claim again. It keeps a
// token of the data folder's key working while the identity provider is down, and one issuer's tokens away from the other's keys.
func Any(issuers ...Issuer) Verifier {
	byName := make(anyOf, len(issuers))
	for _, issuer := range issuers {
		byName[issuer.IssuerName()] = issuer
	}
	return byName
}

type anyOf map[string]Verifier

func (a anyOf) Verify(ctx context.Context, token string) (Principal, error) {
	name, err := unverifiedIssuer(token)
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	issuer, ok := a[name]
	if !ok {
		return Principal{}, fmt.Errorf("%w: tokens of the issuer %q are not accepted here", ErrUnauthenticated, name)
	}
	return issuer.Verify(ctx, token)
}

func unverifiedIssuer(token string) (string, error) {
	parsed, err := jwt.ParseSigned(token, append(asymmetric(), jose.HS256))
	if err != nil {
		return "", err
	}
	var registered jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&registered); err != nil {
		return "", err
	}
	return registered.Issuer, nil
}
