package gateway

import (
	"net"
	"strings"
	"testing"
)

func TestHostsOfApps(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"hello-acme.apps.test":       "hello-acme",
		"hello-acme.apps.test:8080":  "hello-acme",
		"Hello-Acme.APPS.test.":      "hello-acme",
		"hello-acme.apps.test.:8080": "hello-acme",
		"a.b.apps.test":              "a.b",
		"apps.test":                  "",
		".apps.test":                 "",
		"helloapps.test":             "",
		"hello-acme.apps.test:x":     "",
		"hello-acme.apps.test:1:2":   "",
		"127.0.0.1:8080":             "",
		"[::1]:8080":                 "",
		"":                           "",
	} {
		if label, ok := hostLabel(host, "apps.test"); label != want && ok || ok != (want != "") {
			t.Errorf("host %q has label %q (%v), want %q", host, label, ok, want)
		}
	}
}

func FuzzHostLabel(f *testing.F) {
	for _, host := range []string{"hello-acme.apps.test:80", "X.apps.test.", "[::1]:1", "apps.test", "a:b:c.apps.test"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		label, ok := hostLabel(host, "apps.test")
		if !ok {
			return
		}
		// A label that was found is found again in the plainest and in the most elaborate spelling of its host.
		for _, again := range []string{label + ".apps.test", net.JoinHostPort(strings.ToUpper(label)+".APPS.TEST.", "65535")} {
			if got, ok := hostLabel(again, "apps.test"); !ok || got != strings.ToLower(strings.ToUpper(label)) {
				t.Errorf("host %q has label %q, and %q has %q (%v)", host, label, again, got, ok)
			}
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("app", "hello")
	f.Add("version", "12")
	f.Fuzz(func(t *testing.T, kind, last string) {
		if strings.Contains(kind, ":") || last == "" {
			t.Skip("no such list, no such place")
		}
		if got, err := parseCursor(kind, cursor(kind, last)); err != nil || got != last {
			t.Errorf("%q of %q came back as %q, %v", last, kind, got, err)
		}
		if got, err := parseCursor("other"+kind, cursor(kind, last)); err == nil {
			t.Errorf("a cursor of %q is taken for another list, at %q", kind, got)
		}
		if got, err := parseCursor(kind, last); err == nil && cursor(kind, got) != last {
			t.Errorf("%q was read as %q, which is written otherwise", last, got)
		}
	})
}
