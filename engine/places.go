package engine

import "sync"

// places bounds the calls that wait for a pod, and what of them is in memory meanwhile: those of one app, or of all.
type places struct {
	mostCalls int
	mostBytes int64

	mu    sync.Mutex
	calls int
	bytes int64
}

func newPlaces(calls int, bytes int64) *places { return &places{mostCalls: calls, mostBytes: bytes} }

// take has a place for a call, unless there is none left. A call that is larger than all places together gets one when nobody else has any: it could
// never be made otherwise.
func (p *places) take(bytes int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls >= p.mostCalls || bytes > 0 && p.bytes > 0 && p.bytes+bytes > p.mostBytes {
		return false
	}
	p.calls++
	p.bytes += bytes
	return true
}

func (p *places) giveBack(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls--
	p.bytes -= bytes
}

// taken is how many bytes of calls that wait are in memory.
func (p *places) taken() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}
