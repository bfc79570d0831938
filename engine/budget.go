package engine

import "sync"

// maxInHand is how many jobs a process has at a time between its queues and the end of their calls, over all its apps: each holds a
// body in memory and a connection to a pod, and the more of them run beside each other the longer each takes.
const maxInHand = 4096

// budget shares maxInHand among the takers of a process. What is free is for whoever asks first; when nothing is, a taker still gets its equal share, at
// least one job, so that no app waits for the calls of others to end.
type budget struct {
	most int

	mu           sync.Mutex
	takers, used int
}

func (b *budget) enter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takers++
}

func (b *budget) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takers--
}

// reserve answers how many of the wanted jobs a taker may take that has so many already; release gives them back, one by one or together.
func (b *budget) reserve(wanted, has int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	share := max(b.most/max(b.takers, 1), 1)
	n := max(min(wanted, max(b.most-b.used, share-has)), 0)
	b.used += n
	return n
}

func (b *budget) release(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}
