package store

import (
	"iter"
	"slices"

	"github.com/oklog/ulid/v2"
)

// leafSize is how many records a leaf holds at most: few enough that one in the middle is put in quickly, enough that the leaves' own
// size does not count.
const leafSize = 1024

// timeline is the records of one owner, sorted by id and so by submission. Nearly all come and go at its ends. It is a row of leaves rather
// than a tree: with 1,000 leaves it holds a million.
type timeline struct {
	leaves []*leaf // none of them empty
}

// leaf is a stretch of a timeline, 28 bytes a record.
type leaf struct {
	ids   []ulid.ULID
	facts []fact // of the record at the same place in ids
}

// fact is what the index knows of a record besides its owner and its id.
type fact struct {
	app     uint32 // its slot in the table of apps
	expires uint32 // in seconds since 1970; 0 is never
	status  statusSet
}

// put stores what is known of a record, and answers what was known before.
func (s *timeline) put(id ulid.ULID, f fact) (before fact, replaced bool) {
	at := s.leafOf(id)
	if at == len(s.leaves) {
		s.append(id, f)
		return fact{}, false
	}
	l := s.leaves[at]
	i, found := l.find(id)
	if found {
		before, l.facts[i] = l.facts[i], f
		return before, true
	}
	if len(l.ids) == leafSize {
		s.leaves = slices.Insert(s.leaves, at+1, l.split())
		if i > len(l.ids) {
			l, i = s.leaves[at+1], i-len(l.ids)
		}
	}
	l.insert(i, id, f)
	return fact{}, false
}

// append puts a record behind all others.
func (s *timeline) append(id ulid.ULID, f fact) {
	last := len(s.leaves) - 1
	if last < 0 || len(s.leaves[last].ids) == leafSize {
		s.leaves = append(s.leaves, &leaf{})
		last++
	}
	s.leaves[last].insert(len(s.leaves[last].ids), id, f)
}

func (s *timeline) get(id ulid.ULID) (fact, bool) {
	at := s.leafOf(id)
	if at == len(s.leaves) {
		return fact{}, false
	}
	i, found := s.leaves[at].find(id)
	if !found {
		return fact{}, false
	}
	return s.leaves[at].facts[i], true
}

func (s *timeline) remove(id ulid.ULID) (fact, bool) {
	at := s.leafOf(id)
	if at == len(s.leaves) {
		return fact{}, false
	}
	l := s.leaves[at]
	i, found := l.find(id)
	if !found {
		return fact{}, false
	}
	removed := l.facts[i]
	l.ids, l.facts = slices.Delete(l.ids, i, i+1), slices.Delete(l.facts, i, i+1)
	if len(l.ids) == 0 {
		s.leaves = slices.Delete(s.leaves, at, at+1)
	}
	return removed, true
}

// leafOf is the place of the leaf that holds id, or into which it belongs; behind the last if id is after all others.
func (s *timeline) leafOf(id ulid.ULID) int {
	at, _ := slices.BinarySearchFunc(s.leaves, id, func(l *leaf, id ulid.ULID) int { return l.last().Compare(id) })
	return at
}

// expire takes away what has expired, tells each to gone, and joins what is left of small leaves.
func (s *timeline) expire(now uint32, gone func(fact)) {
	kept := s.leaves[:0]
	for _, l := range s.leaves {
		l.expire(now, gone)
		switch last := len(kept) - 1; {
		case len(l.ids) == 0:
		case last >= 0 && len(kept[last].ids)+len(l.ids) <= leafSize/2:
			kept[last].join(l)
		default:
			kept = append(kept, l)
		}
	}
	clear(s.leaves[len(kept):])
	s.leaves = kept
}

// newestFirst goes through the records whose id is below the given one, a leaf at a time: the last leaf first, each in its own order.
func (s *timeline) newestFirst(below ulid.ULID) iter.Seq2[[]ulid.ULID, []fact] {
	return func(yield func([]ulid.ULID, []fact) bool) {
		at := s.leafOf(below)
		if at < len(s.leaves) {
			if i, _ := s.leaves[at].find(below); i > 0 && !yield(s.leaves[at].ids[:i], s.leaves[at].facts[:i]) {
				return
			}
		}
		for _, l := range slices.Backward(s.leaves[:at]) {
			if !yield(l.ids, l.facts) {
				return
			}
		}
	}
}

// between goes through the records whose id is above one and below another, oldest first.
func (s *timeline) between(above, below ulid.ULID) iter.Seq2[ulid.ULID, fact] {
	return func(yield func(ulid.ULID, fact) bool) {
		for _, l := range s.leaves[s.leafOf(above):] {
			i, found := l.find(above)
			if found {
				i++
			}
			for ; i < len(l.ids); i++ {
				if l.ids[i].Compare(below) >= 0 || !yield(l.ids[i], l.facts[i]) {
					return
				}
			}
		}
	}
}

func (l *leaf) last() ulid.ULID { return l.ids[len(l.ids)-1] }

func (l *leaf) find(id ulid.ULID) (int, bool) {
	return slices.BinarySearchFunc(l.ids, id, ulid.ULID.Compare)
}

func (l *leaf) insert(i int, id ulid.ULID, f fact) {
	if len(l.ids) == cap(l.ids) {
		l.resize(min(max(2*len(l.ids), 4), leafSize))
	}
	l.ids, l.facts = slices.Insert(l.ids, i, id), slices.Insert(l.facts, i, f)
}

// split answers the upper half and keeps the lower.
func (l *leaf) split() *leaf {
	half := len(l.ids) / 2
	upper := &leaf{slices.Clone(l.ids[half:]), slices.Clone(l.facts[half:])}
	l.ids, l.facts = l.ids[:half], l.facts[:half]
	return upper
}

// join adds what another leaf holds, all of which comes after.
func (l *leaf) join(next *leaf) {
	l.ids, l.facts = append(l.ids, next.ids...), append(l.facts, next.facts...)
}

func (l *leaf) expire(now uint32, gone func(fact)) {
	kept := 0
	for i, f := range l.facts {
		if f.expired(now) {
			gone(f)
			continue
		}
		l.ids[kept], l.facts[kept] = l.ids[i], f
		kept++
	}
	l.ids, l.facts = l.ids[:kept], l.facts[:kept]
	if kept < cap(l.ids)/2 {
		l.resize(kept)
	}
}

func (l *leaf) resize(room int) {
	l.ids = append(make([]ulid.ULID, 0, room), l.ids...)
	l.facts = append(make([]fact, 0, room), l.facts...)
}

func (f fact) expired(now uint32) bool { return f.expires != 0 && f.expires <= now }

// statusSet is a set of states, one bit each; that of a record has one.
type statusSet uint8

const anyStatus = ^statusSet(0)

func setOf(statuses ...Status) (set statusSet) {
	for i, status := range [...]Status{Pending, Running, Completed, Failed, Timeout, Cancelled} {
		if slices.Contains(statuses, status) {
			set |= 1 << i
		}
	}
	return set
}
