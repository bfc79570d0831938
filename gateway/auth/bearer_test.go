package auth

import (
	"strings"
	"testing"
)

func TestBearerFromHeader(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", maxToken)
	for value, want := range map[string]string{
		"Bearer abc.def-ghi_jkl": "abc.def-ghi_jkl",
		"bearer abc":             "abc",
		"BEARER abc":             "abc",
		"Bearer   abc ":          "abc",
		"Bearer a+b/c~d==":       "a+b/c~d==",
		"Bearer " + longest:      longest,

		"":                        "",
		"Bearer":                  "",
		"Bearer ":                 "",
		"abc":                     "",
		"Basic abc":               "",
		"Bearerabc":               "",
		" Bearer abc":             "",
		"Bearer\tabc":             "",
		"Bearer abc def":          "",
		"Bearer abc,def":          "",
		"Bearer abc, Bearer def":  "",
		"Bearer ab=c":             "",
		"Bearer ==":               "",
		"Bearer ab\x00c":          "",
		"Bearer äbc":              "",
		"Bearer " + longest + "a": "",
	} {
		token, ok := BearerFromHeader(value)
		if token != want || ok != (want != "") {
			t.Errorf("%.40q: got %.40q, %t", value, token, ok)
		}
	}
}

// FuzzBearerFromHeader checks that a token that was taken is one word, came after the scheme, and is taken again as it is.
func FuzzBearerFromHeader(f *testing.F) {
	for _, value := range []string{"Bearer abc", "bearer a.b.c ", "Bearer a b", "Basic abc", "Bearer abc=", "Bearer \xff"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, ok := BearerFromHeader(value)
		if !ok {
			if token != "" {
				t.Errorf("%q is not ok and has a token", value)
			}
			return
		}
		if strings.ContainsAny(token, " \t\r\n,") || !strings.HasSuffix(strings.TrimRight(value, " "), token) {
			t.Errorf("%q: took %q", value, token)
		}
		if again, ok := BearerFromHeader("Bearer " + token); !ok || again != token {
			t.Errorf("%q: not taken again", token)
		}
	})
}
