package auth

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func newOIDC(t *testing.T, p *provider) *OIDC {
	t.Helper()
	verifier, err := NewOIDC(OIDCConfig{Issuer: p.issuer, Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

func TestProviderTokensAreVerified(t *testing.T) {
	t.Parallel()
	for algorithm, key := range map[jose.SignatureAlgorithm]crypto.Signer{jose.RS256: newRSA(t), jose.PS256: newRSA(t), jose.ES256: newECDSA(t)} {
		t.Run(string(algorithm), func(t *testing.T) {
			t.Parallel()
			provider := newProvider(t)
			provider.rotate("first", algorithm, key)
			verifier := newOIDC(t, provider)
			for range 3 {
				p, err := verifier.Verify(t.Context(), provider.sign(t, nil))
				if err != nil {
					t.Fatal(err)
				}
				if p.Subject != "robot" || !maps.Equal(p.Orgs, map[string]string{"acme": "42"}) || p.May(InvokeApp) != nil {
					t.Errorf("got %+v", p)
				}
				if left := time.Until(p.Expires); left > time.Hour || left < 59*time.Minute {
					t.Errorf("expires in %s, want an hour", left)
				}
			}
			if n := provider.requests("/keys") + provider.requests("/.well-known/openid-configuration"); n != 2 {
				t.Errorf("the provider was asked %d times, want 2", n)
			}
		})
	}
}

func TestProviderTokensAreRefused(t *testing.T) {
	t.Parallel()
	provider := newProvider(t)
	key := newRSA(t)
	provider.rotate("first", jose.RS256, key)
	other := newProvider(t)
	other.issuer = provider.issuer
	other.rotate("first", jose.RS256, newRSA(t))
	set := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	good := provider.sign(t, nil)
	parts := strings.Split(good, ".")
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	verifier := newOIDC(t, provider)
	for name, token := range map[string]string{
		"another audience":       provider.sign(t, set("aud", "account")),
		"no audience":            provider.sign(t, func(claims map[string]any) { delete(claims, "aud") }),
		"another issuer":         provider.sign(t, set("iss", provider.issuer+"/other")),
		"no issuer":              provider.sign(t, func(claims map[string]any) { delete(claims, "iss") }),
		"ended":                  provider.sign(t, set("exp", time.Now().Add(-time.Second).Unix())),
		"no end":                 provider.sign(t, func(claims map[string]any) { delete(claims, "exp") }),
		"not yet":                provider.sign(t, set("nbf", time.Now().Add(time.Hour).Unix())),
		"another provider's key": other.sign(t, nil),
		"no algorithm":           encode(`{"alg":"none"}`) + "." + parts[1] + ".",
		"no algorithm, signed":   encode(`{"alg":"none","kid":"first"}`) + "." + parts[1] + "." + parts[2],
		"no signature":           parts[0] + "." + parts[1] + ".",
		"changed claims":         parts[0] + "." + encode(`{"iss":"`+provider.issuer+`","aud":"`+audience+`","exp":99999999999}`) + "." + parts[2],
		"the public key as a password": forge(t, jose.HS256, public, jwt.Claims{Issuer: provider.issuer, Audience: jwt.Audience{audience},
			Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}),
		"garbage": "garbage",
		"nothing": "",
		"dots":    "..",
	} {
		if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, ErrUnauthenticated) || errors.Is(err, ErrProviderUnavailable) {
			t.Errorf("%s: got %v, want ErrUnauthenticated", name, err)
		}
	}
	if _, err := verifier.Verify(t.Context(), good); err != nil {
		t.Errorf("a good token after the bad ones: %v", err)
	}
}

// inBubble answers a verifier that reaches its provider without a network.
func inBubble(t *testing.T) (*provider, *OIDC) {
	t.Helper()
	p := &provider{issuer: "https://id.example", keys: map[string]jose.SigningKey{}, asked: map[string]int{}}
	p.rotate("first", jose.ES256, newECDSA(t))
	verifier, err := NewOIDC(OIDCConfig{Issuer: p.issuer, Audience: audience, HTTPClient: &http.Client{Transport: p}})
	if err != nil {
		t.Fatal(err)
	}
	return p, verifier
}

func TestProviderChangesItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		provider, verifier := inBubble(t)
		before := provider.sign(t, nil)
		if _, err := verifier.Verify(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		provider.rotate("second", jose.RS256, newRSA(t))
		elapse(pause)
		if _, err := verifier.Verify(t.Context(), provider.sign(t, nil)); err != nil {
			t.Errorf("signed with the new key: %v", err)
		}
		elapse(pause)
		if _, err := verifier.Verify(t.Context(), before); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("signed with the key that was taken back: %v", err)
		}
	})
}

func TestUnknownKeysDoNotHammerTheProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		provider, verifier := inBubble(t)
		stranger, _ := inBubble(t)
		stranger.rotate("unknown", jose.ES256, newECDSA(t))
		token := stranger.sign(t, nil)
		for range 100 {
			if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
				t.Fatal(err)
			}
			elapse(pause / 20)
		}
		if n := provider.requests("/keys"); n != 5 {
			t.Errorf("the provider was asked %d times in 5 pauses", n)
		}
	})
}

func TestProviderIsDownAtFirst(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]http.HandlerFunc{
		"error":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"not found": http.NotFound,
		"no JSON":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>maintenance</html>")) },
		"no end": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat("[", 2*maxDocument)))
		},
		"redirect ring": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"another issuer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"https://other.example","jwks_uri":"https://other.example/keys"}`))
		},
		"no keys": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"https://id.example"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				provider, verifier := inBubble(t)
				provider.setBroken(broken)
				token := provider.sign(t, nil)
				for range 3 {
					_, err := verifier.Verify(t.Context(), token)
					if !errors.Is(err, ErrProviderUnavailable) || errors.Is(err, ErrUnauthenticated) {
						t.Errorf("got %v, want ErrProviderUnavailable alone", err)
					}
				}
				provider.setBroken(nil)
				elapse(pause)
				if _, err := verifier.Verify(t.Context(), token); err != nil {
					t.Errorf("once it is up: %v", err)
				}
			})
		})
	}
}

func TestProviderCannotBeReached(t *testing.T) {
	t.Parallel()
	provider := newProvider(t)
	provider.rotate("first", jose.ES256, newECDSA(t))
	gone := httptest.NewServer(nil)
	gone.Close()
	verifier, err := NewOIDC(OIDCConfig{Issuer: gone.URL, Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Verify(t.Context(), provider.sign(t, nil)); !errors.Is(err, ErrProviderUnavailable) {
		t.Errorf("got %v, want ErrProviderUnavailable", err)
	}
}

func TestProviderGoesDownLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		provider, verifier := inBubble(t)
		known := provider.sign(t, nil)
		if _, err := verifier.Verify(t.Context(), known); err != nil {
			t.Fatal(err)
		}
		provider.rotate("second", jose.ES256, newECDSA(t))
		unknown := provider.sign(t, nil)
		provider.setBroken(http.NotFound)
		elapse(pause)
		if _, err := verifier.Verify(t.Context(), known); err != nil {
			t.Errorf("a key that is known: %v", err)
		}
		if _, err := verifier.Verify(t.Context(), unknown); !errors.Is(err, ErrProviderUnavailable) {
			t.Errorf("a key that is not: %v", err)
		}
	})
}

// silent never answers; a request ends with its context.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

func TestProviderIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		verifier, err := NewOIDC(OIDCConfig{Issuer: "https://id.example", Audience: audience, HTTPClient: &http.Client{Transport: silent{}}})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if _, err := verifier.Verify(t.Context(), "token"); !errors.Is(err, ErrProviderUnavailable) {
					t.Errorf("got %v, want ErrProviderUnavailable", err)
				}
			})
		}
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := verifier.Verify(impatient, "token"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("a caller without patience got %v after %s", err, time.Since(begin))
		}
		callers.Wait()
		if waited := time.Since(begin); waited != 10*time.Second {
			t.Errorf("all had their answer after %s, want one timeout of 10 s", waited)
		}
	})
}

func TestNewOIDCReportsAllFaults(t *testing.T) {
	t.Parallel()
	_, err := NewOIDC(OIDCConfig{Issuer: "id.example"})
	if err == nil || !strings.Contains(err.Error(), `issuer "id.example"`) || !strings.Contains(err.Error(), "audience") {
		t.Errorf("got %v", err)
	}
}

func TestAnyAsksTheIssuerOfTheToken(t *testing.T) {
	t.Parallel()
	provider := newProvider(t)
	provider.rotate("first", jose.RS256, newRSA(t))
	key := newKey(t)
	verifier := Any(NewStatic(key), newOIDC(t, provider))

	local, err := verifier.Verify(t.Context(), sign(t, key, request()))
	if err != nil || local.Subject != "someone" {
		t.Errorf("the key's token: %v, %v", local, err)
	}
	if n := provider.requests("/.well-known/openid-configuration"); n != 0 {
		t.Errorf("the provider was asked %d times about a token that is not its own", n)
	}
	remote, err := verifier.Verify(t.Context(), provider.sign(t, nil))
	if err != nil || remote.Subject != "robot" {
		t.Errorf("the provider's token: %v, %v", remote, err)
	}
}

func TestAnyRefuses(t *testing.T) {
	t.Parallel()
	provider := newProvider(t)
	provider.rotate("first", jose.RS256, newRSA(t))
	key := newKey(t)
	verifier := Any(NewStatic(key), newOIDC(t, provider))
	inAnHour := jwt.NewNumericDate(time.Now().Add(time.Hour))
	for name, token := range map[string]string{
		"an unknown issuer":                   forge(t, jose.HS256, key.secret[:], jwt.Claims{Issuer: "https://id.example", Expiry: inAnHour}),
		"no issuer":                           forge(t, jose.HS256, key.secret[:], jwt.Claims{Expiry: inAnHour}),
		"the key signs as the provider":       forge(t, jose.HS256, key.secret[:], jwt.Claims{Issuer: provider.issuer, Audience: jwt.Audience{audience}, Expiry: inAnHour}),
		"the provider signs as the key":       provider.sign(t, func(claims map[string]any) { claims["iss"] = StaticIssuer }),
		"no algorithm":                        encode(`{"alg":"none"}`) + "." + encode(`{"iss":"ignite"}`) + ".",
		"claims that are none":                encode(`{"alg":"HS256"}`) + "." + encode(`[]`) + "." + encode("x"),
		"an issuer that is none":              encode(`{"alg":"HS256"}`) + "." + encode(`{"iss":7}`) + "." + encode("x"),
		"garbage":                             "garbage",
		"nothing":                             "",
		"a known issuer and a made-up signer": encode(`{"alg":"HS256"}`) + "." + encode(`{"iss":"ignite"}`) + "." + encode("x"),
	} {
		if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: got %v, want ErrUnauthenticated", name, err)
		}
	}
}

// FuzzVerify hands over tokens that nobody signed: none may be let in, and none may break anything.
func FuzzVerify(f *testing.F) {
	key := newKey(f)
	good := sign(f, key, request())
	f.Add(good)
	f.Add(good[:len(good)-2])
	f.Add(encode(`{"alg":"none"}`) + "." + encode(`{"iss":"ignite"}`) + ".")
	verifier := Any(NewStatic(newKey(f)))
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := verifier.Verify(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%q: got %v, %v", token, p, err)
		}
	})
}

func TestAlgorithmsHaveNoSharedKey(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"none", "HS256", "HS384", "HS512"} {
		if slices.Contains(algorithmNames(), name) {
			t.Errorf("%s is accepted", name)
		}
	}
}
