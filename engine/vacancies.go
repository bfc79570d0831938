package engine

// vacancies answers how many calls could be taken on now; when it is none, the channel is closed when it may have changed.
// It is what is free in pods in service, and what those will take that are starting, or the first one if there is none. Queued calls
// in line are not counted: their taker does that. The more that jobs wait in the queue the more pods are started (desired), so there is no need to
// promise here what is not begun, and jobs that no pod of this process has a place for are left to others.
func (p *pool) vacancies() (int, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return 0, closedChannel
	}
	serving, taken := p.serving(), p.waiting.from[direct]
	for _, i := range p.pods {
		if !i.leaving {
			taken += min(i.used, p.rules.slots)
		}
	}
	pods := min(serving+p.startingOf(p.active), max(serving, p.desired, 1)) // a new version's pods come in place of others
	n := max(max(pods, 1)*p.rules.slots-taken, 0)
	return n, p.roomUnless(n > 0)
}

// roomUnless answers the channel that is closed when a slot is free again, or none if there is room now.
func (p *pool) roomUnless(now bool) <-chan struct{} {
	if now {
		return nil
	}
	if p.room == nil {
		p.room = make(chan struct{})
	}
	return p.room
}

// offerRoom wakes who waits for room if there may be some: a free slot, or no pod, so that a new one would be started.
func (p *pool) offerRoom() {
	if p.free() != nil || p.serving() == 0 || p.arriving() > 0 {
		p.tellRoom()
	}
}

// tellRoom wakes who waits for a slot without standing in line.
func (p *pool) tellRoom() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// closedChannel is for those who wait for what will not come.
var closedChannel = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
