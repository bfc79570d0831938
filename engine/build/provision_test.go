package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dodil.io/ignite/store"
)

func openBuilder(t testing.TB, c Config) *Builder {
	t.Helper()
	if c.Dir == "" {
		c.Dir = filepath.Join(t.TempDir(), "code")
	}
	b, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// version is one whose artifact is archive.
func version(archive []byte) store.Version {
	sum := sha256.Sum256(archive)
	return store.Version{
		AppRef:       store.AppRef{Org: "acme", Name: "app"},
		Number:       3,
		Code:         store.Code{Kind: store.CodeUploadImage},
		ArtifactHash: hex.EncodeToString(sum[:]),
	}
}

func opens(archive []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
}

func procfileApp(t testing.TB, web string) []byte {
	return tarOf(t, map[string]string{"Procfile": "web: " + web + "\n"})
}

func TestProvisionUnpacksOnce(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{})
	archive := procfileApp(t, "server")
	v := version(archive)
	var opened atomic.Int32
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			launch, err := b.Provision(t.Context(), v, func() (io.ReadCloser, error) {
				opened.Add(1)
				return opens(archive)()
			})
			if err != nil {
				t.Error(err)
				return
			}
			if want := filepath.Join(b.config.Dir, v.ArtifactHash); launch.Dir != want {
				t.Errorf("unpacked into %s, want %s", launch.Dir, want)
			}
		})
	}
	calls.Wait()
	if n := opened.Load(); n != 1 {
		t.Errorf("the artifact was opened %d times", n)
	}
	if got := leftovers(t, b.config.Dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if got := modes(t, filepath.Join(b.config.Dir, v.ArtifactHash)); !maps.Equal(got, map[string]string{"Procfile": "-r--r--r--"}) {
		t.Errorf("unpacked %v", got)
	}
}

// leftovers are the files and folders that only work in progress may have.
func leftovers(t testing.TB, dir string) []string {
	t.Helper()
	var found []string
	for _, entry := range must(os.ReadDir(dir)) {
		if name := entry.Name(); strings.HasPrefix(name, ".") && name != ".python" {
			found = append(found, name)
		}
	}
	return found
}

func TestProvisionOfOneHashDoesNotWaitForAnother(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{})
	slow, fast := procfileApp(t, "slow"), procfileApp(t, "fast")
	entered, leave := make(chan struct{}), make(chan struct{})
	var calls sync.WaitGroup
	calls.Go(func() {
		_, err := b.Provision(t.Context(), version(slow), func() (io.ReadCloser, error) {
			close(entered)
			<-leave
			return opens(slow)()
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-entered
	if _, err := b.Provision(t.Context(), version(fast), opens(fast)); err != nil {
		t.Error(err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the caller left"))
	if _, err := b.Provision(gone, version(slow), opens(slow)); err == nil || !strings.Contains(err.Error(), "the caller left") {
		t.Errorf("waiting for the other's work ended with %v", err)
	}
	close(leave)
	calls.Wait()
}

func TestProvisionTriesAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{})
	archive := procfileApp(t, "server")
	away := errors.New("the store is away")
	faults := map[string]func() (io.ReadCloser, error){
		"the store is away": func() (io.ReadCloser, error) { return nil, away },
		"its bytes have":    opens(procfileApp(t, "another")),
		"unexpected EOF":    func() (io.ReadCloser, error) { return io.NopCloser(cutOff{bytes.NewReader(archive)}), nil },
	}
	for want, open := range faults {
		if _, err := b.Provision(t.Context(), version(archive), open); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want %q", err, want)
		}
	}
	if got := leftovers(t, b.config.Dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if _, err := b.Provision(t.Context(), version(archive), opens(archive)); err != nil {
		t.Error(err)
	}
}

// cutOff is a source that breaks off at its end.
type cutOff struct{ io.Reader }

func (c cutOff) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestProvisionLeavesNothingOfABadArtifact(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{MaxUnpackedBytes: 1000})
	for name, archive := range map[string][]byte{
		"bad entry": tarGz(t, file("Procfile", "web: x"), file("../x", "")),
		"too large": tarOf(t, map[string]string{"a": "a", "x": strings.Repeat("x", 2000)}),
	} {
		if _, err := b.Provision(t.Context(), version(archive), opens(archive)); !errors.Is(err, store.ErrInvalidCode) {
			t.Errorf("%s: got the error %v", name, err)
		}
	}
	if entries := must(os.ReadDir(b.config.Dir)); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestProvisionRefusesWhatIsNoHash(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{})
	archive := procfileApp(t, "server")
	for _, hash := range []string{"", "..", "../" + strings.Repeat("0", 61), strings.Repeat("A", 64), strings.Repeat("0", 63)} {
		v := version(archive)
		v.ArtifactHash = hash
		if _, err := b.Provision(t.Context(), v, opens(archive)); err == nil || !strings.Contains(err.Error(), "not a SHA-256") {
			t.Errorf("hash %q: got the error %v", hash, err)
		}
	}
}

func TestOpenRemovesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".unpack-1", "a", "b"), "half", 0o444)
	write(t, filepath.Join(dir, ".artifact-2"), "half", 0o600)
	whole := filepath.Join(dir, strings.Repeat("0", 64), "Procfile")
	write(t, whole, "web: x", 0o444)
	openBuilder(t, Config{Dir: dir})
	var names []string
	err := eachEntry(dir, func(name string, _ fs.FileInfo) error { names = append(names, name); return nil })
	if want := []string{strings.Repeat("0", 64), strings.Repeat("0", 64) + "/Procfile"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("after opening there is %v, %v; want %v", names, err, want)
	}
}
