package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// writeFiles makes a folder called name with files in it.
func writeFiles(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for file, content := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// unpack reads a tar.gz.
func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}

func nothingSkipped(t *testing.T) func(string, string) {
	return func(name, reason string) { t.Errorf("%s is skipped: %s", name, reason) }
}

func TestPackIsTheSameForTheSameFiles(t *testing.T) {
	t.Parallel()
	content := map[string]string{"handler.py": "x = 1\n", "data/a.txt": "a", "b.txt": "b"}
	first := writeFiles(t, "one", content)
	second := writeFiles(t, "two", content)
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(second, "b.txt"), later, later); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(second, "b.txt"), 0o644); err != nil {
		t.Fatal(err)
	}
	one, err := packFolder(first, maxArchive, nothingSkipped(t))
	if err != nil {
		t.Fatal(err)
	}
	two, err := packFolder(second, maxArchive, nothingSkipped(t))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("the same files pack to different archives")
	}
	if got := unpack(t, one); !maps.Equal(got, content) {
		t.Errorf("the archive holds %v", got)
	}
}

func TestPackLeavesOut(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, "app", map[string]string{
		"handler.py": "", "sub/kept.py": "", "sub/target.py": "", "docs/target": "a file of that name stays",
		".git/HEAD": "", "sub/.git": "gitdir: elsewhere", "node_modules/m/index.js": "", "sub/__pycache__/x.pyc": "",
		"target/debug/app": "", ".venv/bin/python": "",
	})
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link": outside, "sub/up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	var skipped []string
	archive, err := packFolder(dir, maxArchive, func(name, _ string) { skipped = append(skipped, name) })
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(unpack(t, archive)))
	if want := []string{"docs/target", "handler.py", "sub/kept.py", "sub/target.py"}; !slices.Equal(got, want) {
		t.Errorf("the archive holds %v, want %v", got, want)
	}
	if want := []string{"link", "sub/up"}; !slices.Equal(skipped, want) {
		t.Errorf("reported as left out: %v, want %v", skipped, want)
	}
}

func TestPackKeepsTheExecutableBit(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, "app", map[string]string{"run": "", "read": ""})
	if err := os.Chmod(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	archive, err := packFolder(dir, maxArchive, nothingSkipped(t))
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	reader := tar.NewReader(unzipped)
	for _, want := range []int64{0o644, 0o755} {
		header, err := reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		if header.Mode != want {
			t.Errorf("the mode of %s is %o, want %o", header.Name, header.Mode, want)
		}
	}
}

func TestPackRefuses(t *testing.T) {
	t.Parallel()
	random := bytes.Repeat([]byte("0123456789abcdefghij"), 400)
	dir := writeFiles(t, "app", map[string]string{"big": string(random)})
	if _, err := packFolder(dir, 100, nothingSkipped(t)); !errors.Is(err, errArchiveTooLarge) {
		t.Errorf("an archive over the limit: %v", err)
	}
	if _, err := packFolder(t.TempDir(), maxArchive, nothingSkipped(t)); err == nil ||
		!strings.Contains(err.Error(), "holds no files") {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestDeriveRuntime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files   []string
		runtime string
		problem string
	}{
		"python":   {[]string{"handler.py", "lib/Procfile"}, "python", ""},
		"procfile": {[]string{"main.go", "Procfile"}, "procfile", ""},
		"both":     {[]string{"handler.py", "Procfile"}, "", "both handler.py and Procfile"},
		"image":    {[]string{"main.go", "Dockerfile"}, "procfile", ""},
		"go":       {[]string{"main.go", "go.mod", "sub/Procfile"}, "go", ""},
		"neither":  {[]string{"sub/handler.py", "lib.go"}, "", "neither handler.py, Procfile, Dockerfile nor main.go"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := make(map[string]string)
			for _, file := range test.files {
				files[file] = "content"
			}
			tarred, err := packFolder(writeFiles(t, "app", files), maxArchive, nothingSkipped(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, archive := range [][]byte{tarred, zipped(t, test.files)} {
				runtime, err := deriveRuntime(archive)
				if runtime != test.runtime || (err != nil) != (test.problem != "") {
					t.Errorf("runtime %q, %v", runtime, err)
				}
				if err != nil {
					wantContains(t, err.Error(), test.problem)
				}
			}
		})
	}
}

func zipped(t *testing.T, names []string) []byte {
	t.Helper()
	var archive bytes.Buffer
	writer := zip.NewWriter(&archive)
	for _, name := range names {
		if _, err := writer.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

func TestRuntimes(t *testing.T) {
	t.Parallel()
	for _, runtime := range runtimes {
		source, err := codeSource([]byte("archive"), runtime)
		if err != nil {
			t.Errorf("%s: %v", runtime, err)
		}
		if (source.GetImage() != nil) != (runtime == "procfile") {
			t.Errorf("%s gives %v", runtime, source)
		}
		if managed := source.GetCompile().GetRuntime(); managed != nil && runtimeText(managed) != runtime {
			t.Errorf("%s gives the runtime %s", runtime, runtimeText(managed))
		}
	}
	if _, err := codeSource([]byte("archive"), "cobol"); exitCode(err) != exitUsage {
		t.Errorf("an unknown runtime: %v", err)
	}
}

// FuzzRootFiles feeds archives from outside: whatever they hold, names at the root have no folder.
func FuzzRootFiles(f *testing.F) {
	f.Add([]byte("\x1f\x8b"))
	f.Add([]byte("PK\x03\x04"))
	f.Add([]byte("neither"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		names, err := rootFiles(archive)
		if err != nil && exitCode(err) != exitUsage {
			t.Errorf("an archive that cannot be read is the user's: %v", err)
		}
		for name := range names {
			if strings.Contains(name, "/") {
				t.Errorf("%q is not at the root", name)
			}
		}
	})
}
