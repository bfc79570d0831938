package store

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
)

// model is what a timeline should hold.
type model map[ulid.ULID]fact

func (m model) sorted() []ulid.ULID {
	return slices.SortedFunc(maps.Keys(m), ulid.ULID.Compare)
}

// check compares all that a timeline holds, asked for in every way.
func (m model) check(t *testing.T, s *timeline) {
	t.Helper()
	ids := m.sorted()
	var ascending []ulid.ULID
	for id, f := range s.between(ulid.ULID{}, lastULID) {
		if f != m[id] {
			t.Fatalf("%s has %+v, want %+v", id, f, m[id])
		}
		ascending = append(ascending, id)
	}
	if !slices.Equal(ascending, ids) {
		t.Fatalf("oldest first it holds %d records in another order or other ones, want %d", len(ascending), len(ids))
	}
	if len(ids) == 0 {
		return
	}
	middle := ids[len(ids)/2]
	var descending []ulid.ULID
	for ids := range s.newestFirst(middle) {
		descending = append(slices.Clone(ids), descending...)
	}
	if !slices.Equal(descending, ids[:len(ids)/2]) {
		t.Fatalf("newest first it holds %d records below the middle, want %d", len(descending), len(ids)/2)
	}
	for _, l := range s.leaves {
		if len(l.ids) == 0 || len(l.ids) > leafSize || len(l.ids) != len(l.facts) {
			t.Fatalf("a leaf has %d ids and %d facts", len(l.ids), len(l.facts))
		}
	}
}

// randomID is mostly one of now, at times an older one.
func randomID(random *rand.Rand, step int) ulid.ULID {
	id := newULID(time.UnixMilli(int64(1_700_000_000_000 + step)))
	if random.IntN(4) == 0 {
		_ = id.SetTime(uint64(1_700_000_000_000 + random.IntN(step+1)))
	}
	return id
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	s, m := &timeline{}, model{}
	var ids []ulid.ULID
	now := uint32(1000)
	for step := range 40_000 {
		switch roll := random.IntN(100); {
		case roll < 60 || len(ids) == 0:
			id, f := randomID(random, step), fact{app: random.Uint32N(5), expires: random.Uint32N(2) * (now + random.Uint32N(50)), status: 1}
			if _, replaced := s.put(id, f); replaced {
				t.Fatalf("%s is new and replaced something", id)
			}
			m[id], ids = f, append(ids, id)
		case roll < 85:
			id, f := ids[random.IntN(len(ids))], fact{app: random.Uint32N(5), status: 2}
			want, known := m[id]
			if before, replaced := s.put(id, f); before != want || replaced != known {
				t.Fatalf("%s replaced %+v, %t; want %+v, %t", id, before, replaced, want, known)
			}
			m[id] = f
		default:
			id := ids[random.IntN(len(ids))]
			want, known := m[id]
			if got, ok := s.get(id); got != want || ok != known {
				t.Fatalf("%s is %+v, %t; want %+v, %t", id, got, ok, want, known)
			}
			if removed, ok := s.remove(id); removed != want || ok != known {
				t.Fatalf("%s removed %+v, %t; want %+v, %t", id, removed, ok, want, known)
			}
			delete(m, id)
		}
		if step%1000 == 999 {
			now += 20
			gone := 0
			s.expire(now, func(f fact) {
				gone++
				if !f.expired(now) {
					t.Errorf("%+v expired at %d", f, now)
				}
			})
			before := len(m)
			maps.DeleteFunc(m, func(_ ulid.ULID, f fact) bool { return f.expired(now) })
			if gone != before-len(m) {
				t.Errorf("%d records expired, want %d", gone, before-len(m))
			}
			m.check(t, s)
		}
	}
	for id := range m {
		s.remove(id)
	}
	if len(s.leaves) != 0 {
		t.Errorf("%d leaves of nothing", len(s.leaves))
	}
}

// What is left of many records, most of which expired, is not spread over as many leaves.
func TestTimelineShrinks(t *testing.T) {
	t.Parallel()
	s := &timeline{}
	for i := range 100 * leafSize {
		f := fact{expires: 1}
		if i%100 == 0 {
			f.expires = 0
		}
		s.put(newULID(time.UnixMilli(int64(i+1))), f)
	}
	if full := len(s.leaves); full != 100 {
		t.Errorf("records in their order take %d leaves, want 100", full)
	}
	s.expire(1, func(fact) {})
	records, room := 0, 0
	for _, l := range s.leaves {
		records, room = records+len(l.ids), room+cap(l.ids)
	}
	if records != leafSize || len(s.leaves) > 4 || room > 4*leafSize {
		t.Errorf("%d records are in %d leaves with room for %d", records, len(s.leaves), room)
	}
}

func TestAppTable(t *testing.T) {
	t.Parallel()
	table := appTable{slots: map[string]uint32{}}
	a, b := table.use("a"), table.use("b")
	if again := table.use("a"); again != a || a == b {
		t.Errorf("a is %d and %d, b is %d", a, again, b)
	}
	table.drop(a)
	if again := table.use("a"); again != a {
		t.Errorf("a is %d while it has records, was %d", again, a)
	}
	table.drop(a)
	table.drop(a)
	if _, ok := table.slots["a"]; ok {
		t.Error("a has no records and is still known")
	}
	if c := table.use("c"); c != a || table.apps[c].token != "c" {
		t.Errorf("c is %d, %+v; want the place %d that a left", c, table.apps[c], a)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	stored := time.Unix(100, 1)
	for ttl, want := range map[string]uint32{"": 0, "never": 0, "1s": 102, "72h0m0s": 100 + 72*3600 + 1, "-1s": 0} {
		message := seen{header: map[string][]string{"Nats-TTL": {ttl}}, stored: stored}
		if got := expiry(message); got != want {
			t.Errorf("a message with TTL %q leaves at %d, want %d", ttl, got, want)
		}
	}
}

func TestFirstULID(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 3, 4, 5, 6, 7, 891_234_567, time.UTC)
	first := firstULID(at)
	if earlier := newULID(at.Add(-time.Microsecond)); earlier.Compare(first) >= 0 {
		t.Errorf("an id made before is not below %s", first)
	}
	if same := newULID(at); same.Compare(first) < 0 {
		t.Errorf("an id made then is below %s", first)
	}
	if got := firstULID(time.Time{}); got != (ulid.ULID{}) {
		t.Errorf("before all ids is %s", got)
	}
	if got := firstULID(time.Unix(1<<50, 0)); got != lastULID {
		t.Errorf("after all ids is %s", got)
	}
}
