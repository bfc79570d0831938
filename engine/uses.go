package engine

import "sync"

// uses counts who needs an artifact in place: from before it is put there until the pod that runs it is gone.
type uses struct {
	mu     sync.Mutex
	counts map[string]int
}

// begin counts one more; end is called when it does not need the artifact any more.
func (u *uses) begin(hash string) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.counts == nil {
		u.counts = make(map[string]int)
	}
	u.counts[hash]++
	return func() { u.end(hash) }
}

func (u *uses) end(hash string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.counts[hash]--
	if u.counts[hash] == 0 {
		delete(u.counts, hash)
	}
}

// has reports whether anybody needs the artifact.
func (u *uses) has(hash string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.counts[hash] > 0
}
