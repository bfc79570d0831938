package main

import (
	"encoding/base64"
	"strings"
	"testing"
)

func token(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".signature"
}

func TestOrganization(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env     map[string]string
		want    string
		problem string
	}{
		"name in the environment":   {map[string]string{"IGNITE_ORG_NAME": "acme", "IGNITE_TOKEN": token(`{"org_name":"other"}`)}, "acme", ""},
		"one in the token":          {map[string]string{"IGNITE_TOKEN": token(`{"organization":{"acme":{"id":"o1"}}}`)}, "acme", ""},
		"fallback in the token":     {map[string]string{"IGNITE_TOKEN": token(`{"org_id":"o1","org_name":"acme"}`)}, "acme", ""},
		"several, chosen by id":     {map[string]string{"IGNITE_ORG_ID": "o2", "IGNITE_TOKEN": token(`{"organization":{"a":{"id":"o1"},"b":{"id":"o2"}}}`)}, "b", ""},
		"several":                   {map[string]string{"IGNITE_TOKEN": token(`{"organization":{"a":{},"b":{}}}`)}, "", "several organizations (a, b)"},
		"an id nobody knows":        {map[string]string{"IGNITE_ORG_ID": "o9", "IGNITE_TOKEN": token(`{"org_name":"acme"}`)}, "", `no organization with the id "o9"`},
		"a token of another kind":   {map[string]string{"IGNITE_TOKEN": "opaque"}, "", "no organization is known"},
		"a name that is no name":    {map[string]string{"IGNITE_TOKEN": token(`{"org_name":"Not A Name"}`)}, "", `"Not A Name" cannot be the name`},
		"claims that are no claims": {map[string]string{"IGNITE_TOKEN": token(`{"organization":["acme"]}`)}, "", "no organization is known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &client{getenv: func(name string) string { return test.env[name] }}
			got, err := c.organization()
			if got != test.want || (err != nil) != (test.problem != "") {
				t.Errorf("organization %q, %v", got, err)
			}
			if err != nil {
				wantContains(t, err.Error(), test.problem)
			}
		})
	}
}

// FuzzParseApp: what is taken can be written and read again, and follows the server's rule.
func FuzzParseApp(f *testing.F) {
	for _, id := range []string{"acme:hello", "acme/hello", "hello", "a.b-c:d", "", ":", "a:b:c", "A", "-", strings.Repeat("a", 64)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		app, err := parseApp(id)
		if err != nil {
			if exitCode(err) != exitUsage {
				t.Errorf("%q: %v is no usage error", id, err)
			}
			return
		}
		if len(app.name) > 63 || strings.ContainsAny(app.name+app.org, ":/_ \n") {
			t.Errorf("%q is taken as %q", id, app)
		}
		written := app.name
		if app.org != "" {
			written = app.String()
		}
		if again, err := parseApp(written); err != nil || again != app {
			t.Errorf("%q is read as %v and again as %v, %v", id, app, again, err)
		}
	})
}

// FuzzReadClaims: a token is bytes from outside, and reading it never fails.
func FuzzReadClaims(f *testing.F) {
	f.Add(token(`{"organization":{"acme":{"id":"1"}}}`))
	f.Add(token(`{"org_name":"acme"}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		known := readClaims(token).organizations()
		if len(known) > 0 && strings.Count(token, ".") != 2 {
			t.Errorf("%q is no JSON web token and yet names %v", token, known)
		}
	})
}

func TestEnums(t *testing.T) {
	t.Parallel()
	values := map[string]int32{"KIND_UNSPECIFIED": 0, "KIND_TWO": 2, "KIND_ONE": 1}
	if value, err := parseEnum("kind", "Two", "KIND_", values); value != 2 || err != nil {
		t.Errorf("two is %d, %v", value, err)
	}
	_, err := parseEnum("kind", "unspecified", "KIND_", values)
	if err == nil || !strings.Contains(err.Error(), "is none of one, two") {
		t.Errorf("unspecified: %v", err)
	}
	if short := shortEnum("KIND_UNSPECIFIED", "KIND_"); short != "" {
		t.Errorf("unspecified is shown as %q", short)
	}
}
