package engine

import (
	"container/heap"
	"slices"
)

// serve grants claims until the one that is next does not fit.
func (b *budget) serve() {
	for len(b.all.waiting) > 0 {
		next := b.all.waiting[0].waiting[0]
		n := b.offer(next, next.claims[0].least, next.claims[0].most)
		if n == 0 {
			return
		}
		b.grant(next, n)
	}
}

// grant gives n to the first claim of an app; nothing is no grant.
func (b *budget) grant(app *share, n int64) {
	if n == 0 {
		return
	}
	w := app.claims[0]
	w.given = n
	close(w.granted)
	app.forget(0)
	b.comers++
	for part := app; part != nil; part = part.of {
		part.since = b.comers // who has as much and came later is next
	}
	b.use(app, n)
}

// offer answers how much an app can have now that wants at least so much; 0 if that is not there.
func (b *budget) offer(app *share, least, most int64) int64 {
	n := min(most, max(b.room(app.of), b.first-app.used))
	if n < least {
		return 0
	}
	return n
}

// room answers how much is left for an organization: all but the last eighth, or up to its equal share. There is always one organization more to come.
func (b *budget) room(org *share) int64 {
	limit := b.limit()
	if b.all.used == 0 {
		return limit
	}
	equal := limit / int64(len(b.orgs)+1)
	return max(limit-limit/8-b.all.used, min(limit-b.all.used, equal-org.used), 0)
}

// use notes that an app has n more, or less.
func (b *budget) use(app *share, n int64) {
	for part := app; part != nil; part = part.of {
		part.used += n
		if part.isWaiting() {
			heap.Fix(&part.of.waiting, part.place)
		}
	}
}

func (s *share) isWaiting() bool { return len(s.claims) > 0 || s.of != nil && len(s.waiting) > 0 }

// join puts a share in line, and its organization if that is not there.
func (s *share) join() {
	if s.of == nil {
		return
	}
	first := len(s.of.waiting) == 0
	heap.Push(&s.of.waiting, s)
	if first {
		s.of.since = s.since
		s.of.join()
	}
}

// forget takes out a claim, and who has no other out of the line.
func (s *share) forget(i int) {
	s.claims = slices.Delete(s.claims, i, i+1)
	for part := s; part.of != nil && !part.isWaiting(); part = part.of {
		heap.Remove(&part.of.waiting, part.place)
	}
}

// parts is a heap of shares that wait, the one that has least first.
type parts []*share

func (p parts) Len() int { return len(p) }

func (p parts) Less(i, j int) bool {
	if p[i].used != p[j].used {
		return p[i].used < p[j].used
	}
	return p[i].since < p[j].since
}

func (p parts) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].place, p[j].place = i, j
}

// Push is for package heap.
func (p *parts) Push(waiting any) {
	s := waiting.(*share)
	s.place = len(*p)
	*p = append(*p, s)
}

// Pop is for package heap.
func (p *parts) Pop() any {
	last := len(*p) - 1
	s := (*p)[last]
	*p = slices.Delete(*p, last, last+1)
	return s
}
