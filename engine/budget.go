package engine

import (
	"context"
	"sync"

	"dodil.io/ignite/stream"
)

const (
	// maxInHand is how many jobs a process has at a time, over all its apps: each is a connection to a pod, and then a result in memory, and the more
	// of them there are beside each other the longer each takes.
	maxInHand = 4096
	// maxBodyBytes is how many bytes of the jobs in hand came with their messages, maxObjectBytes how many more were read from the store of
	// large payloads. They are apart so that a job which waits for the second keeps nobody from the first.
	maxBodyBytes   = 64 << 20
	maxObjectBytes = 192 << 20
	// usualObject is what a large body counts as whose size its message does not say.
	usualObject = 64 << 20
)

// budget shares out what a process has so much of, first among organizations and then among the apps of each. What is free is for
// whoever asks. When nothing is, those who want more wait, and what comes free goes to the organization that has least, and in it to the app
// that has least; so nobody's flood keeps others from an equal share, and nobody waits for ever.
//
// The last eighth is kept for organizations that have less than an equal share: a new one does not have to wait until the
// calls of others end. A claim for more than there is waits until it is alone.
type budget struct {
	most int64
	// first is what an app always gets at once, whatever the others have: so much for each app may be used beyond most.
	first int64
	// limit is most, or less at times.
	limit func() int64

	mu   sync.Mutex
	all  share
	orgs map[string]*share
	apps map[stream.App]*share
	// comers counts who began to wait.
	comers uint64
}

func newBudget(most, first int64) *budget {
	return &budget{
		most:  most,
		first: first,
		limit: func() int64 { return most },
		orgs:  make(map[string]*share),
		apps:  make(map[stream.App]*share),
	}
}

// share is what an app has of a budget, or an organization, or all of them. It is guarded by the budget's lock.
type share struct {
	budget *budget
	of     *share
	app    stream.App
	used   int64
	// opened counts who has opened an app, or the apps of an organization.
	opened int
	// claims are those of an app, in order; waiting the parts that have claims.
	claims  []*claim
	waiting parts
	// since orders those that have as much. place is that in waiting.
	since uint64
	place int
}

// claim waits for at least so much and is content with most.
type claim struct {
	least, most, given int64
	granted            chan struct{}
}

// open answers the share of an app; close ends it for who has opened it.
func (b *budget) open(app stream.App) *share {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.apps[app]
	if s == nil {
		s = &share{budget: b, of: b.organization(app.Org), app: app}
		s.of.opened++
		b.apps[app] = s
	}
	s.opened++
	return s
}

func (b *budget) organization(name string) *share {
	org := b.orgs[name]
	if org == nil {
		org = &share{budget: b, of: &b.all, app: stream.App{Org: name}}
		b.orgs[name] = org
	}
	return org
}

// inUse counts the apps that are open.
func (b *budget) inUse() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.apps)
}

// close is for who has given back what it took.
func (s *share) close() {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.opened--; s.opened > 0 {
		return
	}
	delete(b.apps, s.app)
	if s.of.opened--; s.of.opened == 0 {
		delete(b.orgs, s.app.Org)
	}
}

// take waits for at least so much, and answers how much it got; release gives it back, in parts or together. What is more than all there is
// counts as all.
func (s *share) take(ctx context.Context, least, most int64) (int64, error) {
	w := s.claim(least, most)
	select {
	case <-w.granted:
		return w.given, nil
	case <-ctx.Done():
		s.withdraw(w)
		return 0, context.Cause(ctx)
	}
}

// try is take for who does not wait: it answers 0 if nothing is to be had, or not before others.
func (s *share) try(least, most int64) int64 {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.all.waiting) > 0 && s.used >= b.first {
		return 0
	}
	n := b.offer(s, min(least, b.most), min(most, b.most))
	b.use(s, n)
	return n
}

func (s *share) release(n int64) {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.use(s, -n)
	if len(s.claims) > 0 && s.used < b.first {
		b.grant(s, b.offer(s, s.claims[0].least, s.claims[0].most))
	}
	b.serve()
}

// claim puts a claim in line and serves who is first.
func (s *share) claim(least, most int64) *claim {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &claim{least: min(least, b.most), most: min(most, b.most), granted: make(chan struct{})}
	if len(s.claims) == 0 {
		b.comers++
		s.since = b.comers
		s.join()
	}
	s.claims = append(s.claims, w)
	if s.used < b.first {
		b.grant(s, b.offer(s, w.least, w.most))
	}
	b.serve()
	return w
}

// withdraw takes a claim back, and what was granted to it meanwhile.
func (s *share) withdraw(w *claim) {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, waiting := range s.claims {
		if waiting == w {
			s.forget(i)
		}
	}
	b.use(s, -w.given)
	b.serve()
}
