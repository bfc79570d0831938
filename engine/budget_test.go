package engine

import "testing"

func TestBudgetGivesWhatIsFreeToWhoeverAsks(t *testing.T) {
	t.Parallel()
	b := budget{most: 10}
	b.enter()
	b.enter()
	if n := b.reserve(8, 0); n != 8 {
		t.Errorf("the first taker may take %d of 8 jobs", n)
	}
	b.release(3)
	if n := b.reserve(4, 5); n != 4 {
		t.Errorf("with 5 of 10 places free it may take %d of 4 more", n)
	}
}

func TestBudgetLeavesEveryTakerItsShare(t *testing.T) {
	t.Parallel()
	b := budget{most: 10}
	for range 4 {
		b.enter()
	}
	if n := b.reserve(20, 0); n != 10 {
		t.Errorf("one taker may take %d jobs, and 10 places are free", n)
	}
	if n := b.reserve(20, 0); n != 2 {
		t.Errorf("a taker without jobs may take %d while no place is free, its share of 10 by 4 is 2", n)
	}
	if n := b.reserve(20, 2); n != 0 {
		t.Errorf("a taker that has its share may take %d more while no place is free", n)
	}
	for range 96 {
		b.enter()
	}
	if n := b.reserve(20, 0); n != 1 {
		t.Errorf("a taker without jobs may take %d among more takers than places", n)
	}
}

func TestBudgetIsWholeAgainAfterAll(t *testing.T) {
	t.Parallel()
	b := budget{most: 10}
	b.enter()
	b.release(b.reserve(4, 0))
	b.leave()
	b.enter()
	if n := b.reserve(20, 0); n != 10 {
		t.Errorf("after all was given back %d of 10 places are free", n)
	}
}
