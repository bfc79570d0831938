package engine

import (
	"slices"
	"testing"
	"time"
)

// run lets a backlog have so many slots for a while, one stride after the other, and answers how many calls ended in each tenth of a second.
func (p *pace) run(slots int, lasts, long time.Duration) (ended []int) {
	const step = time.Millisecond
	ended = make([]int, long/(100*time.Millisecond))
	began, now := time.Unix(0, 0), time.Unix(0, 0)
	var running []time.Time
	var asleep time.Time
	for ; now.Before(began.Add(long)); now = now.Add(step) {
		running = slices.DeleteFunc(running, func(start time.Time) bool {
			over := !now.Before(start.Add(lasts))
			if over {
				p.observe(lasts)
				ended[now.Sub(began)/(100*time.Millisecond)]++
			}
			return over
		})
		if free := slots - len(running); free > 0 && !now.Before(asleep) {
			n, wait := p.allow(now, free, slots, 2)
			running = append(running, slices.Repeat([]time.Time{now}, n)...)
			p.start(n)
			asleep = now.Add(wait)
		}
	}
	return ended
}

func TestCallsOfABacklogDoNotEndTogether(t *testing.T) {
	t.Parallel()
	ended := new(pace).run(400, time.Second, 10*time.Second)
	for tenth, n := range ended[50:] {
		if n > 80 {
			t.Errorf("in a tenth of second %d %d of 400 calls of a second ended, want them spread", 5+tenth/10, n)
		}
	}
	total := 0
	for _, n := range ended[50:] {
		total += n
	}
	if total < 1950 {
		t.Errorf("400 slots finished %d calls of a second in five, and could have 2000", total)
	}
}

func TestShortCallsAreNotPaced(t *testing.T) {
	t.Parallel()
	var p pace
	for range 100 {
		p.observe(5 * time.Millisecond)
	}
	if n, _ := p.allow(time.Unix(0, 0), 400, 400, 2); n != 400 {
		t.Errorf("%d of 400 calls of 5 ms may start", n)
	}
}

// Calls that were long and are short now have all slots again soon.
func TestPaceFollowsCallsThatGetShorter(t *testing.T) {
	t.Parallel()
	var p pace
	p.run(80, 10*time.Second, 30*time.Second)
	ended := p.run(80, 10*time.Millisecond, 2*time.Second)
	if last := ended[len(ended)-1]; last < 80*5 {
		t.Errorf("80 slots finish %d calls of 10 ms in a tenth of a second", last)
	}
}

// However many takers are paced, they do not ask their queues for every call.
func TestManyPacedTakersSleepLonger(t *testing.T) {
	t.Parallel()
	pulls := func(takers int) (n int) {
		var p pace
		p.observe(time.Second)
		for now := time.Unix(0, 0); now.Before(time.Unix(10, 0)); {
			allowed, wait := p.allow(now, 400, 400, takers)
			p.start(allowed)
			if allowed > 0 {
				n++
			}
			now = now.Add(max(wait, time.Millisecond))
		}
		return n
	}
	if few, many := pulls(2), pulls(100); many*5 > few {
		t.Errorf("each of a hundred takers pulls %d times in ten seconds, each of two %d times", many, few)
	}
}
