package store

import "testing"

func TestCreationsAreBounded(t *testing.T) {
	t.Parallel()
	var c creations
	for range rememberedCreations + 10 {
		c.put(Execution{ID: NewExecutionID(), Org: "acme"})
	}
	if n := len(c.records); n != rememberedCreations {
		t.Errorf("%d records are remembered, want %d", n, rememberedCreations)
	}
}
