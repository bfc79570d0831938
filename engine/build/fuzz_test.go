package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever the bytes are: nothing comes out of the folder, nothing but files and folders comes into it, the limits hold, who looks
// says the same as who unpacks, and what was unpacked can be packed and unpacked again.
func FuzzUnpack(f *testing.F) {
	for _, packed := range [][]byte{
		tarOf(f, map[string]string{"handler.py": "def handler(payload, ctx): return payload\n", "a/b/c": "c"}),
		tarGz(f, file("../x", "x"), special("link", tar.TypeSymlink)),
	} {
		f.Add(packed, false)
		f.Add(must(io.ReadAll(must(gzip.NewReader(bytes.NewReader(packed))))), true)
	}
	f.Add(zipOf(f, zipped("Procfile", 0o644), zipped("bin/", fs.ModeDir|0o755), zipped("bin/x", 0o755)), false)
	f.Add(zipOf(f, zipped("link", fs.ModeSymlink|0o777), zipped(`a\b`, 0o644)), false)
	f.Add(squeezedZip(f, 5000, 1), false)
	l := limits{bytes: 4096, files: 20}
	f.Fuzz(func(t *testing.T, content []byte, zip bool) {
		if zip { // Changes to what is compressed already would only break its checksum.
			content = gzipped(t, func(w io.Writer) { _ = must(w.Write(content)) })
		}
		outside := t.TempDir()
		inside := filepath.Join(outside, "inside")
		if err := os.Mkdir(inside, 0o755); err != nil {
			t.Fatal(err)
		}
		files, listed := list(t.Context(), inMemory(content), l)
		unpacked := unpack(t.Context(), inMemory(content), inside, l, writable)
		if (listed == nil) != (unpacked == nil) {
			t.Fatalf("looking at it says %v, unpacking it says %v", listed, unpacked)
		}
		if entries := must(os.ReadDir(outside)); len(entries) != 1 {
			t.Fatalf("unpacking wrote outside of its folder: %v", entries)
		}
		if err := measure(inside, l); err != nil {
			t.Fatal(err)
		}
		if unpacked == nil {
			roundTrip(t, inside, l, slices.Collect(maps.Keys(files)))
		}
	})
}

func roundTrip(t *testing.T, dir string, l limits, files []string) {
	t.Helper()
	packed, err := Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	again := t.TempDir()
	if err := unpack(t.Context(), inMemory(packed), again, l, writable); err != nil {
		t.Fatal(err)
	}
	if first, second := modes(t, dir), modes(t, again); !maps.Equal(first, second) {
		t.Fatalf("unpacked %v, and after packing %v", first, second)
	}
	if !bytes.Equal(packed, must(Pack(again))) {
		t.Fatal("packing the same files twice gives different bytes")
	}
	for _, name := range files {
		first, second := must(os.ReadFile(filepath.Join(dir, name))), must(os.ReadFile(filepath.Join(again, name)))
		if !bytes.Equal(first, second) {
			t.Fatalf("%s is %q, and after packing %q", name, first, second)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, name := range []string{"a/b", "./a//b/", "../a", "/a", `a\..\b`, "c:a", "./c:a", "a\x00b", "", ".", "a/..", "...", strings.Repeat("a", 300)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := cleanName(name)
		if err != nil {
			return
		}
		if !fs.ValidPath(clean) || !filepath.IsLocal(clean) {
			t.Errorf("%q became %q, which is not inside", name, clean)
		}
		if again, err := cleanName(clean); err != nil || again != clean {
			t.Errorf("%q became %q, and then %q, %v", name, clean, again, err)
		}
	})
}
