package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/gateway/auth"
)

// runToken runs `ignited token` with a configuration of defaults.
func runToken(args ...string) (stdout string, err error) {
	var out bytes.Buffer
	command := newTokenCommand()
	command.SilenceUsage, command.SilenceErrors = true, true
	command.SetOut(&out)
	command.SetErr(&bytes.Buffer{})
	command.SetArgs(args)
	err = command.Execute()
	return out.String(), err
}

func principal(t *testing.T, dir, stdout string) auth.Principal {
	t.Helper()
	token, ok := strings.CutSuffix(stdout, "\n")
	if _, bearer := auth.BearerFromHeader("Bearer " + token); !ok || !bearer {
		t.Fatalf("printed more than a token: %q", stdout)
	}
	key, err := auth.LoadOrCreateKey(keyPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	p, err := auth.NewStatic(key).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTokenOfAnOrganization(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	stdout, err := runToken("--org", "acme-corp", "--data-dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	p := principal(t, dir, stdout)
	if !maps.Equal(p.Orgs, map[string]string{"acme-corp": "acme-corp"}) {
		t.Errorf("organizations %v", p.Orgs)
	}
	if all := auth.AllScopes(); !slices.Equal(p.Scopes, slices.Sorted(slices.Values(all))) {
		t.Errorf("scopes %v, want all", p.Scopes)
	}
	if left := time.Until(p.Expires); left > 24*time.Hour || left < 24*time.Hour-time.Minute {
		t.Errorf("good for %s, want a day", left)
	}
}

func TestTokenHasWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stdout, err := runToken("--org", "acme.io", "--org-id", "42", "--subject", "someone", "--scope", "InvokeApp", "--scope", "GetApp",
		"--ttl", "10m", "--data-dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	p := principal(t, dir, stdout)
	if p.Orgs["acme.io"] != "42" || p.Subject != "someone" || !slices.Equal(p.Scopes, []string{"GetApp", "InvokeApp"}) {
		t.Errorf("got %+v", p)
	}
	if left := time.Until(p.Expires); left > 10*time.Minute {
		t.Errorf("good for %s, want ten minutes", left)
	}
}

func TestTokensOfOneFolderHaveOneKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		stdout, err := runToken("--org", "acme", "--config", writeConfig(t, "data_dir: "+dir))
		if err != nil {
			t.Fatal(err)
		}
		principal(t, dir, stdout)
	}
}

func TestTokenRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no organization":    {nil, `"org" not set`},
		"a bad organization": {[]string{"--org", "Acme Corp"}, "1 to 63 of a-z, 0-9, - and ."},
		"an empty one":       {[]string{"--org", ""}, "1 to 63"},
		"an unknown scope":   {[]string{"--org", "acme", "--scope", "Fly"}, "DeployApp, GetApp, InvokeApp, GetExecution"},
		"no time":            {[]string{"--org", "acme", "--ttl", "0"}, "ttl 0s"},
		"too long":           {[]string{"--org", "acme", "--ttl", "10000h"}, "8784h"},
		"more words":         {[]string{"--org", "acme", "corp"}, "corp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			stdout, err := runToken(append(test.args, "--data-dir", dir)...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if stdout != "" {
				t.Errorf("printed %q", stdout)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("left a data folder behind")
			}
		})
	}
}
