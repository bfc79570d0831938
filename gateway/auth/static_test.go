package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func newKey(t testing.TB) Key {
	t.Helper()
	var key Key
	if _, err := rand.Read(key.secret[:]); err != nil {
		t.Fatal(err)
	}
	return key
}

// request is a good one.
func request() TokenRequest {
	return TokenRequest{Org: "acme-corp", OrgID: "42", Subject: "someone", Scopes: []string{InvokeApp, GetApp}, TTL: time.Hour}
}

func sign(t testing.TB, key Key, r TokenRequest) string {
	t.Helper()
	token, err := Sign(key, r, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestSignedTokenIsVerified(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	token := sign(t, key, request())
	if taken, ok := BearerFromHeader("Bearer " + token); !ok || taken != token {
		t.Error("the token does not fit into a header")
	}
	p, err := NewStatic(key).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "someone" || !maps.Equal(p.Orgs, map[string]string{"acme-corp": "42"}) || !slices.Equal(p.Scopes, []string{GetApp, InvokeApp}) {
		t.Errorf("got %+v", p)
	}
	if left := time.Until(p.Expires); left > time.Hour || left < time.Hour-time.Minute {
		t.Errorf("expires in %s, want an hour", left)
	}
}

func TestSignedTokenWithoutAnIDHasTheName(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	r := request()
	r.OrgID = ""
	p, err := NewStatic(key).Verify(t.Context(), sign(t, key, r))
	if err != nil || p.Orgs["acme-corp"] != "acme-corp" {
		t.Errorf("got %v, %v", p.Orgs, err)
	}
}

func TestSignRefusesAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Sign(newKey(t), TokenRequest{Org: "Acme Corp", Scopes: []string{"Fly"}, TTL: 2 * MaxTTL}, time.Now())
	if err == nil {
		t.Fatal("signed")
	}
	for _, part := range []string{`"Acme Corp"`, "1 to 63 of", `"Fly"`, "InvokeApp", "ttl 17568h", "8784h"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %s", err, part)
		}
	}
	for _, ttl := range []time.Duration{0, -time.Hour, time.Millisecond} {
		r := request()
		r.TTL = ttl
		if _, err := Sign(newKey(t), r, time.Now()); err == nil {
			t.Errorf("signed for %s", ttl)
		}
	}
}

func TestTokenIsGoodInItsTimeOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		verifier := NewStatic(key)
		token, err := Sign(key, request(), time.Now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for _, step := range []struct {
			at   time.Duration
			good bool
		}{
			{29 * time.Second, false}, // begins in 31 s
			{31 * time.Second, true},  // begins in 29 s: within the leeway
			{time.Minute, true},
			{time.Hour, true},
			{time.Hour + 89*time.Second, true}, // ended 29 s ago
			{time.Hour + 92*time.Second, false},
		} {
			elapse(step.at - time.Since(begin))
			_, err := verifier.Verify(t.Context(), token)
			if step.good != (err == nil) || err != nil && !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("after %s: %v", step.at, err)
			}
		}
	})
}

func TestStaticRefuses(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	good := sign(t, key, request())
	parts := strings.Split(good, ".")
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hour := jwt.NewNumericDate(time.Now().Add(time.Hour))
	ours := jwt.Claims{Issuer: StaticIssuer, Expiry: hour}
	for name, token := range map[string]string{
		"nothing":                  "",
		"garbage":                  "garbage",
		"dots":                     "..",
		"no signature":             parts[0] + "." + parts[1] + ".",
		"another key's signature":  sign(t, newKey(t), request()),
		"changed claims":           parts[0] + "." + encode(`{"iss":"ignite","exp":99999999999}`) + "." + parts[2],
		"no algorithm":             encode(`{"alg":"none"}`) + "." + parts[1] + ".",
		"no algorithm, signed":     encode(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2],
		"another algorithm":        forge(t, jose.EdDSA, private, ours),
		"a longer hash":            forge(t, jose.HS512, append(key.secret[:], key.secret[:]...), ours),
		"another issuer":           forge(t, jose.HS256, key.secret[:], jwt.Claims{Issuer: "someone", Expiry: hour}),
		"no issuer":                forge(t, jose.HS256, key.secret[:], jwt.Claims{Expiry: hour}),
		"no end":                   forge(t, jose.HS256, key.secret[:], jwt.Claims{Issuer: StaticIssuer}),
		"made in the future":       forge(t, jose.HS256, key.secret[:], jwt.Claims{Issuer: StaticIssuer, Expiry: hour, IssuedAt: hour}),
		"ended":                    forge(t, jose.HS256, key.secret[:], jwt.Claims{Issuer: StaticIssuer, Expiry: jwt.NewNumericDate(time.Now().Add(-time.Hour))}),
		"the JSON form of a token": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
	} {
		if _, err := NewStatic(key).Verify(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: got %v, want ErrUnauthenticated", name, err)
		}
	}
	ours.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Hour))
	if _, err := NewStatic(key).Verify(t.Context(), forge(t, jose.HS256, key.secret[:], ours)); !errors.Is(err, ErrExpired) {
		t.Errorf("a token that has ended: got %v, want ErrExpired", err)
	}
	if _, err := NewStatic(newKey(t)).Verify(t.Context(), forge(t, jose.HS256, key.secret[:], ours)); errors.Is(err, ErrExpired) {
		t.Error("a stranger's token was called expired")
	}
	ours.Expiry = hour
	if _, err := NewStatic(key).Verify(t.Context(), forge(t, jose.HS256, key.secret[:], ours)); err != nil {
		t.Errorf("the forger's good token: %v", err)
	}
}

// forge signs any claims with any key.
func forge(t *testing.T, algorithm jose.SignatureAlgorithm, key any, claims jwt.Claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
