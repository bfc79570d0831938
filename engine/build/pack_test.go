package build

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPackIsDeterministic(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	names := []string{"a.txt", "b/c.txt", strings.Repeat("long/", 40) + "z.txt"}
	for i, name := range names {
		write(t, filepath.Join(first, name), "content", 0o600)
		write(t, filepath.Join(second, names[len(names)-1-i]), "content", 0o644)
	}
	write(t, filepath.Join(first, "run"), "#!", 0o700)
	write(t, filepath.Join(second, "run"), "#!", 0o755)
	if err := os.Chtimes(filepath.Join(second, "a.txt"), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(must(Pack(first)), must(Pack(second))) {
		t.Error("the same files give different archives")
	}
	write(t, filepath.Join(second, "more"), "", 0o644)
	if bytes.Equal(must(Pack(first)), must(Pack(second))) {
		t.Error("different files give the same archive")
	}
}

func TestPackTakesNoLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(dir); err == nil || !strings.Contains(err.Error(), "link is neither a file nor a folder") {
		t.Errorf("got the error %v", err)
	}
}

func write(t testing.TB, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
