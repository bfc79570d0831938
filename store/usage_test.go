package store_test

import (
	"fmt"
	"maps"
	"testing"

	"dodil.io/ignite/store"
)

func TestUsageIsAddedUp(t *testing.T) {
	t.Parallel()
	s := setup(t)
	hello, dotted, other := store.AppRef{Org: "acme", Name: "hello"}, store.AppRef{Org: "acme", Name: "a.b"}, store.AppRef{Org: "acme-2", Name: "hello"}
	add := func(id string, batch map[store.AppRef]store.Usage) {
		t.Helper()
		if err := s.AddUsage(t.Context(), id, batch); err != nil {
			t.Fatal(err)
		}
	}
	if none, err := s.Usage(t.Context(), hello); err != nil || none != (store.Usage{}) {
		t.Errorf("before any call: %+v, %v", none, err)
	}
	add("1", map[store.AppRef]store.Usage{hello: {Answered: 2, Left: 1}, dotted: {Failed: 3}, other: {Answered: 9}})
	add("2", map[store.AppRef]store.Usage{hello: {Answered: 40}})
	add("2", map[store.AppRef]store.Usage{hello: {Answered: 40}}) // repeated, because its answer was lost
	if got, err := s.Usage(t.Context(), hello); err != nil || got != (store.Usage{Answered: 42, Left: 1}) {
		t.Errorf("usage is %+v, %v", got, err)
	}
	want := map[store.AppRef]store.Usage{hello: {Answered: 42, Left: 1}, dotted: {Failed: 3}}
	if got, err := s.UsageOf(t.Context(), "acme"); err != nil || !maps.Equal(got, want) {
		t.Errorf("usage is %+v, %v", got, err)
	}
	if none, err := s.UsageOf(t.Context(), "nobody"); err != nil || len(none) != 0 {
		t.Errorf("usage of nobody is %+v, %v", none, err)
	}
}

func TestUsageOfManyApps(t *testing.T) {
	t.Parallel()
	s := setup(t)
	batch := map[store.AppRef]store.Usage{}
	for i := range 700 {
		batch[store.AppRef{Org: "acme", Name: fmt.Sprintf("app-%d.v1", i)}] = store.Usage{Answered: uint64(i + 1), Left: 1}
	}
	if err := s.AddUsage(t.Context(), "1", batch); err != nil {
		t.Fatal(err)
	}
	if got, err := s.UsageOf(t.Context(), "acme"); err != nil || !maps.Equal(got, batch) {
		t.Errorf("usage of %d apps is that of %d, %v", len(batch), len(got), err)
	}
}
