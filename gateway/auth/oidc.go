package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// OIDCConfig names an OpenID Connect provider.
type OIDCConfig struct {
	// Issuer is the provider's URL, letter for letter the claim "iss" of its tokens.
	Issuer string
	// Audience must be in the claim "aud" of a token. Without one, what the provider made for another service would be accepted.
	Audience string
	// HTTPClient asks the provider; nil is a client with a timeout of 10 s.
	HTTPClient *http.Client
}

func (c OIDCConfig) validate() error {
	var faults []error
	issuer, err := url.Parse(c.Issuer)
	if err != nil || issuer.Host == "" || issuer.Scheme != "https" && issuer.Scheme != "http" {
		faults = append(faults, fmt.Errorf("issuer %q: want an http or https URL", c.Issuer))
	}
	if c.Audience == "" {
		faults = append(faults, errors.New("audience: want the audience of the tokens"))
	}
	return errors.Join(faults...)
}

// OIDC verifies the tokens of an OpenID Connect provider. The provider is first asked when the first token comes, and again for each
// key that is not known yet, which is how it can change its keys. Until it answers, tokens are ErrProviderUnavailable.
//
// A key that the provider takes back is trusted until a token with an unknown key makes us ask again.
type OIDC struct {
	config OIDCConfig
	client *http.Client
	// keys is nil until the provider has been discovered.
	keys atomic.Pointer[oidc.RemoteKeySet]
	// discovering is held by the one caller who asks the provider while the others wait.
	discovering chan struct{}
}

// NewOIDC checks config; it does no I/O.
func NewOIDC(config OIDCConfig) (*OIDC, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	client := http.Client{}
	if config.HTTPClient != nil {
		client = *config.HTTPClient
	}
	const patience = 10 * time.Second
	client.Timeout = cmp.Or(client.Timeout, patience)
	client.Transport = &patient{next: cmp.Or(client.Transport, http.DefaultTransport)}
	return &OIDC{config: config, client: &client, discovering: make(chan struct{}, 1)}, nil
}

// IssuerName is the provider's URL.
func (o *OIDC) IssuerName() string { return o.config.Issuer }

// Verify asks the provider only if it has not been discovered yet or does not know the token's key.
func (o *OIDC) Verify(ctx context.Context, token string) (Principal, error) {
	remote, err := o.keySet(ctx)
	if err != nil {
		return Principal{}, err
	}
	keys := &keySet{remote: remote}
	verified, err := oidc.NewVerifier(o.config.Issuer, keys, &oidc.Config{
		ClientID:             o.config.Audience,
		SupportedSigningAlgs: algorithmNames(),
	}).Verify(ctx, token)
	_, expired := errors.AsType[*oidc.TokenExpiredError](err)
	switch {
	case keys.unavailable != nil:
		return Principal{}, keys.unavailable
	case expired:
		return Principal{}, ErrExpired
	case err != nil:
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	var payload json.RawMessage
	if err := verified.Claims(&payload); err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	return principalOf(payload, verified.Expiry)
}

// asymmetric answers the algorithms that a provider may sign with. "none" is not among them, nor any whose key could be one that the
// provider publishes. What the provider says it signs with is not asked: that list is about its id tokens.
func asymmetric() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

func algorithmNames() []string {
	var names []string
	for _, algorithm := range asymmetric() {
		names = append(names, string(algorithm))
	}
	return names
}

// keySet answers the keys of the provider, discovering it first if nobody has.
func (o *OIDC) keySet(ctx context.Context) (*oidc.RemoteKeySet, error) {
	if keys := o.keys.Load(); keys != nil {
		return keys, nil
	}
	select {
	case o.discovering <- struct{}{}:
		defer func() { <-o.discovering }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the identity provider: %w", context.Cause(ctx))
	}
	if keys := o.keys.Load(); keys != nil {
		return keys, nil
	}
	keys, err := o.discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: discover %s: %w", ErrProviderUnavailable, o.config.Issuer, err)
	}
	o.keys.Store(keys)
	return keys, nil
}

// discover goes on when the caller leaves, within the client's timeout: others wait for it, and a caller with no patience must
// not make the provider look dead to them.
func (o *OIDC) discover(ctx context.Context) (*oidc.RemoteKeySet, error) {
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), o.client)
	provider, err := oidc.NewProvider(ctx, o.config.Issuer)
	if err != nil {
		return nil, err
	}
	var found struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&found); err != nil {
		return nil, err
	}
	if found.Keys == "" {
		return nil, errors.New("the provider names no jwks_uri")
	}
	return oidc.NewRemoteKeySet(ctx, found.Keys), nil
}

// keySet is made for one verification. It notes when the keys could not be fetched, which the verifier's own error hides.
type keySet struct {
	remote      *oidc.RemoteKeySet
	unavailable error
}

// VerifySignature is called by the verifier.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.remote.VerifySignature(ctx, token)
	switch {
	case errors.Is(err, ErrProviderUnavailable):
		k.unavailable = err
	case err != nil && ctx.Err() != nil:
		k.unavailable = fmt.Errorf("wait for the identity provider: %w", context.Cause(ctx))
	}
	return payload, err
}
