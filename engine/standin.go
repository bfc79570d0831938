package engine

import (
	"context"
	"sync"
	"time"
)

// standIn answers the version that serves in place of the active one, which does not come up; 0 is none. It is one that has pods in service, or
// else the last that had, and may get as many pods as the active one would have.
func (p *pool) standIn() uint32 {
	if !p.fault.of(p.active) {
		return 0
	}
	for _, i := range p.pods {
		if !i.leaving && i.version != p.active {
			return i.version
		}
	}
	if p.served != p.active {
		return p.served
	}
	return 0
}

// noteServed remembers the active version once it has served: it stands in for the next one.
func (p *pool) noteServed() {
	if p.servingOf(p.active) > 0 {
		p.served = p.active
	}
}

// faultOf answers what the last start of version left behind: what is not active is or was a stand-in.
func (p *pool) faultOf(version uint32) *fault {
	if version == p.active {
		return &p.fault
	}
	return &p.standInFault
}

// refusal answers why a call for version need not wait: no pod serves or comes, and none may be started now.
func (p *pool) refusal(now time.Time, version uint32) error {
	if p.serving() > 0 || p.arriving() > 0 {
		return nil
	}
	if standIn := p.standIn(); standIn != 0 && p.standInFault.refusal(now, standIn) == nil {
		return nil
	}
	return p.fault.refusal(now, version)
}

// beginStandIn takes back or starts the pods that are missing of the version that serves in place of the active one.
func (p *pool) beginStandIn(ctx context.Context, now time.Time, pods *sync.WaitGroup) {
	version := p.standIn()
	if version == 0 {
		return
	}
	p.takeBack(version, p.desired-p.serving())
	p.begin(ctx, now, version, p.desired-p.serving(), pods)
}
