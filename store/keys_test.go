package store

import (
	"strings"
	"testing"
)

// plain reports whether key can be part of a subject that is published to: no wildcards, no empty tokens.
func plain(key string) bool {
	return !strings.ContainsAny(key, "*> \t\r\n\x00") && !strings.Contains("."+key+".", "..")
}

func FuzzAppKey(f *testing.F) {
	f.Add("acme.corp", "hello")
	f.Add("a..b", "c.d")
	f.Add("*", "a_b")
	f.Fuzz(func(t *testing.T, org, name string) {
		ref := AppRef{Org: org, Name: name}
		if !ref.valid() {
			return
		}
		key := appKey(ref)
		if got, err := parseAppKey(key); err != nil || got != ref {
			t.Errorf("%q came back from %q as %q, %v", ref, key, got, err)
		}
		if !plain(key) || strings.Count(key, ".") != 1 {
			t.Errorf("%q is not a key", key)
		}
		subject := versionSubjects + versionKey(ref, "01ARZ3NDEKTSV4RRFFQ69G5FAV", 7)
		if got, err := parseVersionSubject(subject); err != nil || got != "01ARZ3NDEKTSV4RRFFQ69G5FAV" {
			t.Errorf("incarnation came back from %q as %q, %v", subject, got, err)
		}
	})
}

func FuzzParseAppKey(f *testing.F) {
	f.Add("acme_corp.hello")
	f.Add("a.b.c")
	f.Add("A.b")
	f.Fuzz(func(t *testing.T, key string) {
		if ref, err := parseAppKey(key); err == nil && appKey(ref) != key {
			t.Errorf("%q was read as %q, whose key is %q", key, ref, appKey(ref))
		}
	})
}

func FuzzExecutionKey(f *testing.F) {
	f.Add("acme.corp", "exec_01ARZ3NDEKTSV4RRFFQ69G5FAV", "public", "hello.v2")
	f.Add("a", "exec_*", "b", "c")
	f.Fuzz(func(t *testing.T, org, id, appOrg, name string) {
		app := AppRef{Org: appOrg, Name: name}
		if !ValidName(org) || !ValidExecutionID(id) || !app.valid() {
			return
		}
		key := executionKey(org, id, app)
		gotOrg, gotID, gotApp, err := parseExecutionKey(key)
		if err != nil || gotOrg != org || gotID != id || gotApp != app {
			t.Errorf("%q, %q, %q came back from %q as %q, %q, %q, %v", org, id, app, key, gotOrg, gotID, gotApp, err)
		}
		owner, cut, token, ok := cutExecutionSubject(executionSubjects + key)
		if !ok || owner != toToken.Replace(org) || executionID(cut) != id || token != appToken(app) {
			t.Errorf("%q was cut into %q, %q, %q, %t", key, owner, cut, token, ok)
		}
		if !plain(key) || strings.Count(key, ".") != 2 || !strings.HasPrefix(key, executionFilter(org, id)) {
			t.Errorf("%q is not a key", key)
		}
	})
}

func FuzzParseExecutionKey(f *testing.F) {
	f.Add("acme.exec_01ARZ3NDEKTSV4RRFFQ69G5FAV.acme=hello")
	f.Add("acme.exec_01ARZ3NDEKTSV4RRFFQ69G5FAV.acme=hello=x")
	f.Add("..")
	f.Fuzz(func(t *testing.T, key string) {
		org, id, app, err := parseExecutionKey(key)
		if err == nil && executionKey(org, id, app) != key {
			t.Errorf("%q was read as %q, %q, %q", key, org, id, app)
		}
	})
}

func FuzzPayloadSubject(f *testing.F) {
	f.Add("request.exec_01ARZ3NDEKTSV4RRFFQ69G5FAV", 0)
	f.Add("result.exec_01ARZ3NDEKTSV4RRFFQ69G5FAV.2", 17)
	f.Add("..", 1)
	f.Add("a=b", -1)
	f.Fuzz(func(t *testing.T, name string, index int) {
		if !validPayloadName(name) || index < 0 {
			return
		}
		subject := payloadSubject(name, index)
		if gotName, gotIndex, err := parsePayloadSubject(subject); err != nil || gotName != name || gotIndex != index {
			t.Errorf("%q, %d came back from %q as %q, %d, %v", name, index, subject, gotName, gotIndex, err)
		}
		filter := strings.TrimSuffix(payloadFilter(name), "*")
		if !plain(subject) || strings.Count(subject, ".") != 3 || !strings.HasPrefix(subject, filter) {
			t.Errorf("%q is not a subject", subject)
		}
	})
}

func FuzzParsePayloadSubject(f *testing.F) {
	f.Add("ignite.payload.request=exec_x.0")
	f.Add("ignite.payload.request=exec_x.01")
	f.Add("ignite.payload..")
	f.Fuzz(func(t *testing.T, subject string) {
		if name, index, err := parsePayloadSubject(subject); err == nil && payloadSubject(name, index) != subject {
			t.Errorf("%q was read as %q, %d", subject, name, index)
		}
	})
}

func FuzzParseStamp(f *testing.F) {
	f.Add("0 1 e3b0")
	f.Add(stampOf(make([]byte, 3*payloadChunk)).String())
	f.Add("99999999999999999999 1 x")
	f.Add("1 2 x")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseStamp(text)
		if err != nil {
			return
		}
		size := 0
		for i := range min(parsed.chunks, 100) {
			size += len(parsed.chunk(make([]byte, min(parsed.size, 100*payloadChunk)), i))
		}
		if parsed.String() != text || parsed.chunks <= 100 && size != parsed.size {
			t.Errorf("%q was read as %+v, whose chunks have %d bytes", text, parsed, size)
		}
	})
}

func FuzzIdempotencyKey(f *testing.F) {
	f.Add("key")
	f.Add("> *\x00")
	f.Fuzz(func(t *testing.T, key string) {
		built := idempotencyKey("acme.corp", AppRef{Org: "public", Name: "a.b"}, key)
		if !plain(built) || strings.Count(built, ".") != 2 || !strings.HasPrefix(built, "acme_corp.public=a_b.") {
			t.Errorf("%q became %q, which is not a key", key, built)
		}
	})
}

func TestKeysOfOtherBuckets(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "acme", "acme.a.b", "acme.", ".hello", "Acme.hello", "acme.-", "acme.a*"} {
		if ref, err := parseAppKey(key); err == nil {
			t.Errorf("app key %q was read as %q", key, ref)
		}
	}
	for _, subject := range []string{"", versionSubjects + "a.b.c", versionSubjects + "a.b..1", versionSubjects + "a.b.c.1.2"} {
		if incarnation, err := parseVersionSubject(subject); err == nil {
			t.Errorf("version %q was read as %q", subject, incarnation)
		}
	}
}

func FuzzUsageSubject(f *testing.F) {
	f.Add("acme.corp", "hello", "answered")
	f.Add("a", "b.c", "left")
	f.Fuzz(func(t *testing.T, org, name, kind string) {
		ref := AppRef{Org: org, Name: name}
		if !ref.valid() || strings.Contains(kind, ".") {
			return
		}
		subject := usageSubject(ref, kind)
		if got, gotKind, err := parseUsageSubject(subject); err != nil || got != ref || gotKind != kind {
			t.Errorf("%q of %q came back from %q as %q of %q, %v", kind, ref, subject, gotKind, got, err)
		}
	})
}
