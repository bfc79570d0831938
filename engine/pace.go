package engine

import (
	"sync"
	"time"
)

const (
	// mostSpread is the longest time over which the starts of as many calls as there are slots are spread.
	mostSpread = time.Second
	// leastSpread is the shortest: calls that are over sooner do not end together for long.
	leastSpread = 20 * time.Millisecond
	// leastStride is how long a taker that is paced sleeps at least: what may start in that time starts together, with one request to the queue.
	leastStride = 10 * time.Millisecond
	// pacedTakers is how many takers there may be until they sleep longer, so that together they ask their queues no more often.
	pacedTakers = 4
	// usualOf is of how many calls about the usual time is the mean.
	usualOf = 16
)

// pace spreads the starts of a backlog's calls over the time that a call takes. Those that start together end together, and are followed by others that do
// so too; each time they keep the processor from everybody else. Spread, they end one after the other, and as many are finished: for as many
// calls as there are slots start in four fifths of a call's time.
type pace struct {
	mu sync.Mutex
	// usual is how long a call was in its pod, lately.
	usual time.Duration
	// apart is the time between two starts, as it was last; due is when the next call may start.
	apart time.Duration
	due   time.Time
}

// observe takes note of how long a call was in its pod.
func (p *pace) observe(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.usual == 0 {
		p.usual = took
	}
	p.usual += (took - p.usual) / usualOf
}

// allow answers how many of n calls may start now, of an app with so many slots in a process with so many takers, and if that is none, how long to wait.
func (p *pace) allow(now time.Time, n, slots, takers int) (allowed int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spread := min(p.usual, mostSpread) * 4 / 5
	if spread < leastSpread {
		p.apart = 0
		return n, 0
	}
	p.apart = spread / time.Duration(max(slots, 1))
	stride := max(min(leastStride*time.Duration(max(takers/pacedTakers, 1)), spread/4), p.apart)
	if earliest, latest := now.Add(-2*stride), now.Add(spread); p.due.Before(earliest) {
		p.due = earliest
	} else if p.due.After(latest) {
		p.due = latest
	}
	allowed = min(n, int(now.Sub(p.due)/p.apart))
	if allowed <= 0 {
		return 0, max(p.due.Add(p.apart).Sub(now), stride)
	}
	return allowed, 0
}

// start counts calls that were begun.
func (p *pace) start(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = p.due.Add(time.Duration(n) * p.apart)
}
