package auth

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOrganizationsOfClaims(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		payload string
		want    map[string]string
	}{
		"object with ids":                {`{"organization":{"acme-corp":{"id":"42"},"beta.io":{"id":"43"}}}`, map[string]string{"acme-corp": "42", "beta.io": "43"}},
		"object without an id":           {`{"organization":{"acme":{}}}`, map[string]string{"acme": "acme"}},
		"object with other values":       {`{"organization":{"acme":true,"beta":{"id":7}}}`, map[string]string{"acme": "acme", "beta": "beta"}},
		"object with attributes":         {`{"organization":{"acme":{"id":"42","region":["eu"]}}}`, map[string]string{"acme": "42"}},
		"list of names":                  {`{"organization":["acme","beta"]}`, map[string]string{"acme": "acme", "beta": "beta"}},
		"list with a stranger":           {`{"organization":["acme",{"id":"42"},7]}`, map[string]string{"acme": "acme"}},
		"one name":                       {`{"organization":"acme"}`, map[string]string{"acme": "acme"}},
		"fallback":                       {`{"org_name":"acme","org_id":"42"}`, map[string]string{"acme": "42"}},
		"fallback by name alone":         {`{"org_name":"acme"}`, map[string]string{"acme": "acme"}},
		"fallback by id alone":           {`{"org_id":"42"}`, map[string]string{"42": "42"}},
		"fallback of an empty object":    {`{"organization":{},"org_name":"acme"}`, map[string]string{"acme": "acme"}},
		"no fallback beside a good name": {`{"organization":["acme"],"org_name":"beta"}`, map[string]string{"acme": "acme"}},
		"bad names are passed over":      {`{"organization":{"Acme":{},"a_b":{},"a*":{},"-a":{},"":{},"ok":{"id":"1"}}}`, map[string]string{"ok": "1"}},
		"a bad fallback too":             {`{"org_name":"acme.*.>"}`, map[string]string{}},
		"another case is another claim":  {`{"Organization":{"acme":{}},"ORG_NAME":"beta"}`, map[string]string{}},
		"none":                           {`{"sub":"someone"}`, map[string]string{}},
		"null":                           {`{"organization":null,"org_name":null}`, map[string]string{}},
		"a number":                       {`{"organization":7}`, map[string]string{}},
		"64 letters":                     {`{"organization":["` + strings.Repeat("a", 64) + `"]}`, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := read(t, test.payload).Orgs; !maps.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestScopesOfClaims(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		payload string
		want    []string
	}{
		"scope":               {`{"scope":"InvokeApp GetApp"}`, []string{"GetApp", "InvokeApp"}},
		"scope with spaces":   {`{"scope":"  InvokeApp   GetApp "}`, []string{"GetApp", "InvokeApp"}},
		"scp as a list":       {`{"scp":["InvokeApp","GetApp"]}`, []string{"GetApp", "InvokeApp"}},
		"scp as a string":     {`{"scp":"InvokeApp"}`, []string{"InvokeApp"}},
		"scopes":              {`{"scopes":["InvokeApp GetApp","DeployApp"]}`, []string{"DeployApp", "GetApp", "InvokeApp"}},
		"all, each once":      {`{"scope":"InvokeApp","scp":["InvokeApp"],"scopes":"GetApp"}`, []string{"GetApp", "InvokeApp"}},
		"strangers in a list": {`{"scp":["InvokeApp",1,null,{"a":"b"}]}`, []string{"InvokeApp"}},
		"an object":           {`{"scope":{"InvokeApp":true}}`, nil},
		"another case":        {`{"SCOPE":"InvokeApp"}`, nil},
		"none":                {`{}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := read(t, test.payload).Scopes; !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSubjectOfClaims(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`{"sub":"someone","client_id":"robot"}`: "someone",
		`{"client_id":"robot","azp":"other"}`:   "robot",
		`{"azp":"robot"}`:                       "robot",
		`{"sub":7}`:                             "",
		`{}`:                                    "",
	} {
		if got := read(t, payload).Subject; got != want {
			t.Errorf("%s: got %q, want %q", payload, got, want)
		}
	}
}

func TestClaimsThatAreNoObjectAreRefused(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{``, `[]`, `"acme"`, `{`, `7`} {
		if _, err := principalOf([]byte(payload), time.Now()); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%q: got %v, want ErrUnauthenticated", payload, err)
		}
	}
}

func read(t *testing.T, payload string) Principal {
	t.Helper()
	end := time.Unix(1_900_000_000, 0)
	p, err := principalOf([]byte(payload), end)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Expires.Equal(end) {
		t.Errorf("expires %s, want %s", p.Expires, end)
	}
	return p
}

// FuzzPrincipal checks what must hold of any claims: only good names grant an organization, every organization has an id, scopes are words,
// and what was read reads the same again from the plain form.
func FuzzPrincipal(f *testing.F) {
	f.Add([]byte(`{"organization":{"acme":{"id":"42"}},"scope":"InvokeApp GetApp","sub":"someone"}`))
	f.Add([]byte(`{"organization":["acme","beta"],"scp":["InvokeApp"]}`))
	f.Add([]byte(`{"organization":"acme","scopes":"a b"}`))
	f.Add([]byte(`{"org_id":"42","org_name":"acme"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		p, err := principalOf(payload, time.Time{})
		if err != nil {
			return
		}
		for name, id := range p.Orgs {
			if !orgName.MatchString(name) || id == "" {
				t.Errorf("organization %q with id %q", name, id)
			}
		}
		for _, scope := range p.Scopes {
			if len(strings.Fields(scope)) != 1 {
				t.Errorf("scope %q is not one word", scope)
			}
		}
		again := readAgain(t, p)
		if !maps.Equal(again.Orgs, p.Orgs) || !slices.Equal(again.Scopes, p.Scopes) {
			t.Errorf("read %v, and again %v", p, again)
		}
	})
}

func readAgain(t *testing.T, p Principal) Principal {
	orgs := map[string]organization{}
	for name, id := range p.Orgs {
		orgs[name] = organization{ID: id}
	}
	plain, err := json.Marshal(map[string]any{"organization": orgs, "scope": strings.Join(p.Scopes, " ")})
	if err != nil {
		t.Fatal(err)
	}
	again, err := principalOf(plain, p.Expires)
	if err != nil {
		t.Fatal(err)
	}
	return again
}
