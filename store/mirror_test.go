package store

import (
	"math/rand/v2"
	"testing"
)

func emptyMirror() *mirror[string, int] {
	return &mirror[string, int]{entries: map[string]entry[int]{}, changed: make(chan struct{})}
}

// step is one thing that a mirror comes to know of its only key.
type step func(m *mirror[string, int])

func wrote(value int, revision uint64) step {
	return func(m *mirror[string, int]) { m.wrote("k", value, revision) }
}

func deleted(revision uint64) step {
	return func(m *mirror[string, int]) { m.deleted("k", revision) }
}

func heard(value int, revision uint64) step {
	return func(m *mirror[string, int]) { m.heard("k", entry[int]{value: value, revision: revision}) }
}

func heardDeleted(revision uint64) step {
	return func(m *mirror[string, int]) { m.heard("k", entry[int]{revision: revision, deleted: true}) }
}

func heardOther(revision uint64) step {
	return func(m *mirror[string, int]) { m.heard("other", entry[int]{revision: revision}) }
}

func replaced(floor uint64, found map[string]entry[int], heardUpTo uint64) step {
	return func(m *mirror[string, int]) { m.replace(found, floor, heardUpTo) }
}

const none = -1

func TestMirrorPutsTogether(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		steps []step
		want  int
	}{
		"own write is there at once":            {[]step{wrote(1, 1)}, 1},
		"watch brings what others wrote":        {[]step{heard(1, 1)}, 1},
		"late watch does not undo own write":    {[]step{wrote(2, 2), heard(1, 1)}, 2},
		"watch goes beyond own write":           {[]step{wrote(1, 1), heard(1, 1), heard(2, 2)}, 2},
		"own write comes after the watch's":     {[]step{heard(2, 2), wrote(1, 1)}, 2},
		"own deletion is there at once":         {[]step{heard(1, 1), deleted(1)}, none},
		"late watch does not undo own deletion": {[]step{wrote(1, 5), deleted(5), heard(1, 5)}, none},
		"created again after own deletion":      {[]step{wrote(1, 1), deleted(1), wrote(3, 3), heard(1, 1), heardDeleted(2)}, 3},
		"watch brings a deletion":               {[]step{heard(1, 1), heardDeleted(2)}, none},
		// The watch has passed the write: it is in doubt, and not remembered.
		"own write that was deleted before it was noted": {[]step{heardDeleted(2), wrote(1, 1)}, none},
		// An older value is known, so the watch has not yet told of what came after it.
		"own write that the watch skipped":  {[]step{heard(1, 1), heardOther(9), wrote(2, 5)}, 2},
		"new watch forgets what is gone":    {[]step{heard(1, 1), replaced(1, map[string]entry[int]{}, 0)}, none},
		"new watch finds what is newer":     {[]step{heard(1, 1), replaced(1, map[string]entry[int]{"k": {value: 2, revision: 2}}, 2)}, 2},
		"new watch spares own later write":  {[]step{wrote(3, 3), replaced(2, map[string]entry[int]{"k": {value: 2, revision: 2}}, 2)}, 3},
		"new watch spares own later delete": {[]step{wrote(3, 3), deleted(3), replaced(2, map[string]entry[int]{"k": {value: 3, revision: 3}}, 3)}, none},
		"new watch knows a later deletion":  {[]step{wrote(3, 3), replaced(2, map[string]entry[int]{"k": {revision: 4, deleted: true}}, 4)}, none},
		"server came back with less":        {[]step{heard(9, 9), replaced(9, map[string]entry[int]{"k": {value: 2, revision: 2}}, 2)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := emptyMirror()
			for _, step := range test.steps {
				step(m)
			}
			got, ok := m.get("k")
			if !ok {
				got = none
			}
			if got != test.want {
				t.Errorf("mirror says %d, want %d", got, test.want)
			}
		})
	}
}

func TestMirrorTellsOfChangesOnce(t *testing.T) {
	t.Parallel()
	m := emptyMirror()
	for _, test := range []struct {
		name string
		step step
		told bool
	}{
		{"own write", wrote(1, 1), true},
		{"its echo", heard(1, 1), false},
		{"news", heard(2, 2), true},
		{"deletion", heardDeleted(3), true},
		{"deletion of what is not there", heardDeleted(4), false},
		{"own write that came too late", wrote(3, 3), false},
	} {
		next := m.next()
		test.step(m)
		told := false
		select {
		case <-next:
			told = true
		default:
		}
		if told != test.told {
			t.Errorf("%s: told %t, want %t", test.name, told, test.told)
		}
	}
}

// Whatever a mirror hears of a bucket, and however late: it never shows a value older than its own last write, it keeps
// no mark of a deletion once the watch is through, and in the end it shows what the bucket holds.
func TestMirrorAgreesWithBucket(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := emptyMirror()
		var log []entry[int] // the bucket's history of one key
		var ownLast uint64
		heardUpTo := 0
		for range 20 {
			switch revision := uint64(len(log) + 1); random.IntN(4) {
			case 0: // another store writes
				log = append(log, entry[int]{value: int(revision), revision: revision})
			case 1: // this store writes
				log = append(log, entry[int]{value: int(revision), revision: revision})
				m.wrote("k", int(revision), revision)
				ownLast = revision
			case 2: // this store deletes what is there
				if last := len(log); last > 0 && !log[last-1].deleted {
					log = append(log, entry[int]{revision: revision, deleted: true})
					m.deleted("k", uint64(last))
					ownLast = revision
				}
			case 3: // the watch goes on, and may skip what was replaced meanwhile
				if len(log) > heardUpTo {
					heardUpTo += 1 + random.IntN(len(log)-heardUpTo)
					m.heard("k", log[heardUpTo-1])
				}
			}
			if got, ok := m.get("k"); ok && uint64(got) < ownLast {
				t.Fatalf("seed %d: shows %d after this store wrote %d", seed, got, ownLast)
			}
		}
		if len(log) == 0 {
			continue
		}
		last := log[len(log)-1]
		m.heard("k", last)
		got, ok := m.get("k")
		if ok == last.deleted || ok && got != last.value {
			t.Fatalf("seed %d: shows %d, %t at the end, bucket has %+v", seed, got, ok, last)
		}
		if last.deleted && len(m.entries) != 0 {
			t.Fatalf("seed %d: %d entries left of nothing", seed, len(m.entries))
		}
	}
}

func TestVersionCacheIsBounded(t *testing.T) {
	t.Parallel()
	var cache versionCache
	for number := range uint32(3 * cachedVersions) {
		cache.put(versionID{"i", number}, Version{Number: number})
	}
	if len(cache.versions) > cachedVersions {
		t.Errorf("%d versions are kept, want at most %d", len(cache.versions), cachedVersions)
	}
	last := uint32(3*cachedVersions - 1)
	if v, ok := cache.get(versionID{"i", last}); !ok || v.Number != last {
		t.Errorf("the last one put is %+v, %t", v, ok)
	}
}
