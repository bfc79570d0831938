package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const audience = "ignite-api"

// provider is a small OpenID Connect provider: discovery, keys, and tokens with any claims.
type provider struct {
	issuer string

	mu    sync.Mutex
	keys  map[string]jose.SigningKey
	asked map[string]int
	// broken answers instead of the provider if it is set.
	broken http.HandlerFunc
}

// newProvider runs one over HTTP; its issuer is the URL at which it is found.
func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{keys: map[string]jose.SigningKey{}, asked: map[string]int{}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.issuer = server.URL
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[r.URL.Path]++
	switch {
	case p.broken != nil:
		p.broken(w, r)
	case r.URL.Path == "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.issuer, "jwks_uri": p.issuer + "/keys"})
	case r.URL.Path == "/keys":
		_ = json.NewEncoder(w).Encode(p.published())
	default:
		http.NotFound(w, r)
	}
}

func (p *provider) published() jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, name := range slices.Sorted(maps.Keys(p.keys)) {
		public := p.keys[name].Key.(crypto.Signer).Public()
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: public, KeyID: name, Use: "sig"})
	}
	return set
}

// RoundTrip lets a client reach the provider without a network, so that it can be used in a bubble.
func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	p.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

func (p *provider) rotate(name string, algorithm jose.SignatureAlgorithm, key crypto.Signer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = map[string]jose.SigningKey{name: {Algorithm: algorithm, Key: key}}
}

func (p *provider) setBroken(handler http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = handler
}

func (p *provider) requests(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// sign makes a token with the one key there is; change may spoil its claims.
func (p *provider) sign(t *testing.T, change func(claims map[string]any)) string {
	t.Helper()
	claims := map[string]any{
		"iss": p.issuer, "aud": []string{"account", audience}, "sub": "robot",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"organization": map[string]any{"acme": map[string]any{"id": "42"}}, "scope": "openid InvokeApp",
	}
	if change != nil {
		change(claims)
	}
	p.mu.Lock()
	name := slices.Collect(maps.Keys(p.keys))[0]
	key := p.keys[name]
	p.mu.Unlock()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithHeader("kid", name))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSA(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
