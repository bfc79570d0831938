package gateway

import (
	"sync"
	"time"
)

// heartbeat is how long a watch that has heartbeats is silent at most: less than the minute after which proxies cut what is idle.
const heartbeat = 15 * time.Second

// pulse lets writers write one after the other, and beats when none of them has written for a while.
type pulse struct {
	// beat writes the sign of life. An error is not told to anybody: who writes next gets it, too.
	beat func() error

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func (p *pulse) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(heartbeat, func() { _ = p.do(p.beat) })
}

// do writes, and puts the next beat off.
func (p *pulse) do(write func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	p.timer.Reset(heartbeat)
	return write()
}

// stop ends the beats; nothing is written once it returned.
func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
	}
}
