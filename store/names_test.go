package store_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"dodil.io/ignite/store"
)

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "0": true, "my-data-processor": true, "v1.2": true, "a..b": true, "a.-b": true,
		strings.Repeat("a", 63): true,
		"":                      false, strings.Repeat("a", 64): false,
		"-a": false, "a-": false, ".a": false, "a.": false, "-": false, ".": false,
		"A": false, "a_b": false, "a b": false, "a*": false, ">": false, "é": false, "a\x00b": false, "a/b": false,
	} {
		if got := store.ValidName(name); got != want {
			t.Errorf("ValidName(%q) is %t", name, got)
		}
	}
}

func TestHostLabel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		org, name string
		port      uint32
		want      string
	}{
		{"acme-corp", "hello", 80, "hello-acme-corp"},
		{"acme-corp", "hello", 8080, "hello-acme-corp-8080"},
		{"acme.corp", "hello.v2", 80, "hello-dot-v2-acme-dot-corp"},
		{strings.Repeat("o", 31), strings.Repeat("a", 31), 80, strings.Repeat("a", 31) + "-" + strings.Repeat("o", 31)},
		{strings.Repeat("o", 32), strings.Repeat("a", 31), 80, ""},
		{strings.Repeat("o", 31), strings.Repeat("a", 31), 81, ""},
		{"acme", "hello", 0, ""},
		{"acme", "hello", 65536, ""},
		{"acme", "He", 80, ""},
		{"", "hello", 80, ""},
	} {
		label, ok := store.HostLabel(store.AppRef{Org: test.org, Name: test.name}, test.port)
		if ok != (test.want != "") || ok && label != test.want {
			t.Errorf("label of %s/%s:%d is %q, %t; want %q", test.org, test.name, test.port, label, ok, test.want)
		}
	}
}

func FuzzHostLabel(f *testing.F) {
	f.Add("acme-corp", "hello", uint32(80))
	f.Add("a.b", "c..d", uint32(65535))
	f.Add("*", ">", uint32(0))
	f.Fuzz(func(t *testing.T, org, name string, port uint32) {
		label, ok := store.HostLabel(store.AppRef{Org: org, Name: name}, port)
		if !ok {
			return
		}
		if len(label) > 63 || strings.Contains(label, ".") || !store.ValidName(label) {
			t.Errorf("%q is not a DNS label", label)
		}
		if !strings.HasPrefix(label, strings.ReplaceAll(name, ".", "-dot-")+"-") {
			t.Errorf("%q does not begin with the app's name %q", label, name)
		}
	})
}

func TestValidExecutionID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"exec_01ARZ3NDEKTSV4RRFFQ69G5FAV":  true,
		"exec_01arz3ndektsv4rrffq69g5fav":  false,
		"exec_81ARZ3NDEKTSV4RRFFQ69G5FAV":  false,
		"exec_01ARZ3NDEKTSV4RRFFQ69G5FA":   false,
		"exec_01ARZ3NDEKTSV4RRFFQ69G5FAVX": false,
		"exec_01ARZ3NDEKTSV4RRFFQ69G5FAU ": false,
		"exec_01ARZ3NDEKTSV4RRFFQ69G5FIL":  false,
		"01ARZ3NDEKTSV4RRFFQ69G5FAV":       false,
		"exec_":                            false,
		"":                                 false,
		"*":                                false,
	} {
		if got := store.ValidExecutionID(id); got != want {
			t.Errorf("ValidExecutionID(%q) is %t", id, got)
		}
	}
}

func FuzzValidExecutionID(f *testing.F) {
	f.Add(store.NewExecutionID())
	f.Add("exec_01ARZ3NDEKTSV4RRFFQ69G5F*V")
	f.Fuzz(func(t *testing.T, id string) {
		if store.ValidExecutionID(id) && (len(id) != len("exec_")+26 || strings.ContainsAny(id, ".*> \r\n")) {
			t.Errorf("%q is valid and cannot be a subject's token", id)
		}
	})
}

func TestNewExecutionIDsAscend(t *testing.T) {
	t.Parallel()
	ids := make([]string, 10_000)
	for i := range ids {
		ids[i] = store.NewExecutionID()
	}
	if !slices.IsSorted(ids) {
		t.Error("an id sorts before one that was made earlier")
	}
	if !store.ValidExecutionID(ids[0]) {
		t.Errorf("%q is not valid", ids[0])
	}
}

func TestNewExecutionIDsDiffer(t *testing.T) {
	t.Parallel()
	var all sync.Map
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10_000 {
				id := store.NewExecutionID()
				if _, taken := all.LoadOrStore(id, true); taken {
					t.Errorf("%s was made twice", id)
				}
			}
		})
	}
	group.Wait()
}
