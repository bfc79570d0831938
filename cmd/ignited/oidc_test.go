package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const audience = "ignite-api"

// provider is an OpenID Connect provider that can be down.
type provider struct {
	issuer string
	key    *rsa.PrivateKey
	down   atomic.Bool
}

func startProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /.well-known/openid-configuration", p.answer(func() any {
		return map[string]any{"issuer": p.issuer, "jwks_uri": p.issuer + "/keys"}
	}))
	routes.HandleFunc("GET /keys", p.answer(func() any {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "only", Use: "sig", Algorithm: string(jose.RS256)}}}
	}))
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)
	p.issuer = server.URL
	return p
}

func (p *provider) answer(document func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if p.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(document())
	}
}

// token is signed by key with the claims of a good one, but for those in claims.
func (p *provider) token(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	all := map[string]any{
		"iss": p.issuer, "aud": []string{"account", audience}, "sub": "ada", "exp": time.Now().Add(time.Hour).Unix(),
		"organization": map[string]any{"acme-corp": map[string]any{"id": "org-7"}}, "scope": "openid DeployApp GetApp InvokeApp GetExecution",
	}
	maps.Copy(all, claims)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "only"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Tokens of an OpenID Connect provider are as good as those of the local key, which go on to work beside them.
func TestTokensOfAProvider(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	p.down.Store(true)
	s := startServer(t, dataDir(t), "--oidc-issuer", p.issuer, "--oidc-audience", audience)
	local, good := s.token, p.token(t, p.key, nil)

	t.Run("a provider that is down makes nobody a stranger", func(t *testing.T) { providerIsDown(t, s, good) })
	p.down.Store(false)
	s.token = good
	eventually(t, "the provider is asked again", func() bool {
		code, _ := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp", "")
		return code == http.StatusOK
	})

	t.Run("who gets in, and how far", func(t *testing.T) { providerTokens(t, s, p) })
	t.Run("the pod is told the organization's id", func(t *testing.T) {
		s.token = good
		s.deploy(t, "probe", procfileCode(probeArchive(t)), "")
		saw := readAll(t, s.invoke(t, "probe", `{}`))
		if !strings.Contains(saw, `"X-Ignite-Organization-Id":["org-7"]`) || strings.Contains(saw, good) {
			t.Errorf("the pod saw %s", saw)
		}
	})
	t.Run("both kinds of token name the same organization", func(t *testing.T) {
		s.token = good
		id := s.submit(t, "probe", `{}`)
		s.await(t, id)
		s.token = local
		if code, answer := s.do(t, http.MethodGet, "/v1/ignite/executions/"+id, ""); code != http.StatusOK {
			t.Errorf("the local key's token reads the provider's execution: %d %v", code, answer)
		}
	})
}

func providerIsDown(t *testing.T, s *server, token string) {
	local := s.token
	defer func() { s.token = local }()
	s.token = token
	answer, err := http.DefaultClient.Do(s.request(t, http.MethodGet, "/v1/ignite/app/acme-corp", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if body := readAll(t, answer); answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "identity provider") ||
		answer.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v %s", answer.Status, answer.Header, body)
	}
	_, err = dialByReflection(t, s.grpc, token).call(t.Context(), "ListApps", `{"organizationName":"acme-corp"}`)
	if status.Code(err) != codes.Unavailable {
		t.Errorf("gRPC: %v", err)
	}
	s.token = local
	if code, answer := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp", ""); code != http.StatusOK {
		t.Errorf("the local key's token: %d %v", code, answer)
	}
}

func providerTokens(t *testing.T, s *server, p *provider) {
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(name string, value any) string { return p.token(t, p.key, map[string]any{name: value}) }
	reads := changed("scope", "openid GetApp")
	const apps = "/v1/ignite/app/acme-corp"
	for name, c := range map[string]struct {
		token, method, path, body string
		http                      int
		grpc                      codes.Code
	}{
		"a good one":           {changed("sub", "grace"), "GET", apps, "", 200, codes.OK},
		"another audience":     {changed("aud", "account"), "GET", apps, "", 401, codes.Unauthenticated},
		"expired":              {changed("exp", time.Now().Add(-time.Minute).Unix()), "GET", apps, "", 401, codes.Unauthenticated},
		"an unknown issuer":    {changed("iss", "https://id.example"), "GET", apps, "", 401, codes.Unauthenticated},
		"a stranger's key":     {p.token(t, stranger, nil), "GET", apps, "", 401, codes.Unauthenticated},
		"of no organization":   {changed("organization", map[string]any{}), "GET", apps, "", 403, codes.PermissionDenied},
		"of another":           {changed("organization", map[string]any{"other": map[string]any{"id": "8"}}), "GET", apps, "", 403, codes.PermissionDenied},
		"no scope for reading": {changed("scope", "openid InvokeApp"), "GET", apps, "", 403, codes.PermissionDenied},
		"scope for reading":    {reads, "GET", apps, "", 200, codes.OK},
		"but not for creating": {reads, "POST", apps, `{"name":"mine"}`, 403, codes.OK},
		"and not for calling":  {reads, "POST", apps + "/probe/invoke", `{}`, 403, codes.OK},
		"scopes as a list":     {p.token(t, p.key, map[string]any{"scope": nil, "scp": []string{"GetApp"}}), "GET", apps, "", 200, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			s.token = c.token
			if code, answer := s.do(t, c.method, c.path, c.body); code != c.http {
				t.Errorf("%d %v, want %d", code, answer, c.http)
			}
			_, err := dialByReflection(t, s.grpc, c.token).call(t.Context(), "ListApps", `{"organizationName":"acme-corp"}`)
			if status.Code(err) != c.grpc {
				t.Errorf("gRPC: %v, want %v", err, c.grpc)
			}
		})
	}
}
