package build

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/store"
)

// shelf is a builder with two artifacts in place, which nobody used for two days.
func shelf(t *testing.T) (b *Builder, one, other store.Version, archive []byte) {
	t.Helper()
	b = openBuilder(t, Config{})
	archive = procfileApp(t, "one")
	second := procfileApp(t, "other")
	one, other = version(archive), version(second)
	provision(t, b, one, opens(archive))
	provision(t, b, other, opens(second))
	for _, v := range []store.Version{one, other} {
		b.age(t, v)
	}
	return b, one, other, archive
}

func provision(t *testing.T, b *Builder, v store.Version, open func() (io.ReadCloser, error)) {
	t.Helper()
	if _, err := b.Provision(t.Context(), v, open); err != nil {
		t.Fatal(err)
	}
}

func (b *Builder) age(t *testing.T, v store.Version) {
	t.Helper()
	then := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(filepath.Join(b.config.Dir, v.ArtifactHash), then, then); err != nil {
		t.Fatal(err)
	}
}

func (b *Builder) inPlace(v store.Version) bool {
	_, err := os.Stat(filepath.Join(b.config.Dir, v.ArtifactHash))
	return !errors.Is(err, fs.ErrNotExist)
}

func dayAgo() time.Time { return time.Now().Add(-24 * time.Hour) }

func nobody(string) bool { return false }

func removes(t *testing.T, b *Builder, want int, keep func(string) bool) {
	t.Helper()
	if got, err := b.RemoveIdle(t.Context(), dayAgo(), keep); got != want || err != nil {
		t.Errorf("%d removed, error %v, want %d", got, err, want)
	}
	if left := leftovers(t, b.config.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestIdleCodeIsRemovedAndComesBack(t *testing.T) {
	t.Parallel()
	b, one, other, archive := shelf(t)
	provision(t, b, one, func() (io.ReadCloser, error) {
		t.Error("what is in place was fetched")
		return opens(archive)()
	})
	removes(t, b, 1, nobody)
	if !b.inPlace(one) || b.inPlace(other) {
		t.Errorf("in place: what was used %v, what was idle %v", b.inPlace(one), b.inPlace(other))
	}
	b.age(t, one)
	removes(t, b, 1, nobody)
	provision(t, b, one, opens(archive))
	if !b.inPlace(one) {
		t.Error("it did not come back")
	}
}

func TestWantedCodeIsKeptAndIsIdleFromThenOn(t *testing.T) {
	t.Parallel()
	b, one, other, _ := shelf(t)
	removes(t, b, 1, func(hash string) bool { return hash == one.ArtifactHash })
	if !b.inPlace(one) || b.inPlace(other) {
		t.Errorf("in place: what is wanted %v, what is not %v", b.inPlace(one), b.inPlace(other))
	}
	removes(t, b, 0, nobody)
}

func TestOtherFoldersAreLeftAlone(t *testing.T) {
	t.Parallel()
	b, _, _, _ := shelf(t)
	foreign := filepath.Join(b.config.Dir, "lost+found")
	if err := os.Mkdir(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(foreign, then, then); err != nil {
		t.Fatal(err)
	}
	removes(t, b, 2, nobody)
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a folder that holds no artifact: %v", err)
	}
}

// Somebody who puts an artifact in place while idle ones are removed has it afterwards, if he said before that he wants it.
func TestRemovalAndProvisionAtTheSameTime(t *testing.T) {
	t.Parallel()
	b, one, _, archive := shelf(t)
	for range 200 {
		var mu sync.Mutex
		var wanted []string
		keep := func(hash string) bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Contains(wanted, hash)
		}
		b.age(t, one)
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := b.RemoveIdle(t.Context(), dayAgo(), keep); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			mu.Lock()
			wanted = append(wanted, one.ArtifactHash)
			mu.Unlock()
			if _, err := b.Provision(t.Context(), one, opens(archive)); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if content, err := os.ReadFile(filepath.Join(b.config.Dir, one.ArtifactHash, "Procfile")); err != nil || len(content) == 0 {
			t.Fatalf("what was put in place: %q, %v", content, err)
		}
	}
}

// What a crash left between the two steps goes at the next start.
func TestHalfRemovedCodeGoesAtTheNextStart(t *testing.T) {
	t.Parallel()
	b, one, _, _ := shelf(t)
	aside, err := b.putAside(t.Context(), one.ArtifactHash, dayAgo(), nobody)
	if err != nil || aside == "" {
		t.Fatalf("put aside to %q, %v", aside, err)
	}
	if b.inPlace(one) {
		t.Error("it is still in place")
	}
	again := openBuilder(t, Config{Dir: b.config.Dir})
	if left := leftovers(t, again.config.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
