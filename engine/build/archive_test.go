package build

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dodil.io/ignite/store"
)

var generous = limits{bytes: 1 << 20, files: 100}

// tarGz packs headers with their contents; the size is set for whoever left it 0.

func tarGz(t testing.TB, entries ...tarEntry) []byte {
	t.Helper()
	return gzipped(t, func(w io.Writer) {
		writer := tar.NewWriter(w)
		for _, e := range entries {
			e.header.Size = max(e.header.Size, int64(len(e.content)))
			if err := writer.WriteHeader(&e.header); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(writer, e.content); err != nil {
				t.Fatal(err)
			}
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func gzipped(t testing.TB, write func(io.Writer)) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	write(writer)
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

type tarEntry struct {
	header  tar.Header
	content string
}

func file(name, content string) tarEntry {
	return tarEntry{tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}, content}
}

func special(name string, kind byte) tarEntry {
	return tarEntry{tar.Header{Name: name, Linkname: "target", Mode: 0o644, Typeflag: kind}, ""}
}

// tarOf packs the files of a folder that needs no folders of its own.

func tarOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var entries []tarEntry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, file(name, files[name]))
	}
	return tarGz(t, entries...)
}

func zipOf(t testing.TB, headers ...zip.FileHeader) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := zip.NewWriter(&packed)
	for _, header := range headers {
		header.Method = zip.Deflate
		w, err := writer.CreateHeader(&header)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(header.Name, "/") {
			if _, err := io.WriteString(w, "content of "+header.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func zipped(name string, mode fs.FileMode) zip.FileHeader {
	header := zip.FileHeader{Name: name}
	header.SetMode(mode)
	return header
}

func TestUnpackWritesFilesAndFolders(t *testing.T) {
	t.Parallel()
	program := file("./bin/run", "#!/bin/sh\n")
	program.header.Mode = 0o4777
	archives := map[string][]byte{
		"tar.gz": tarGz(t,
			special("./", tar.TypeDir), special("./empty", tar.TypeDir), program, file("a//./b.txt", "content of a/b.txt")),
		"zip": zipOf(t, zipped("empty/", fs.ModeDir|0o777), zipped("bin/run", 0o755), zipped("a/b.txt", 0o600)),
	}
	for format, content := range archives {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := unpack(t.Context(), inMemory(content), dir, generous, writable); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"a": "drwxr-xr-x", "a/b.txt": "-rw-r--r--", "bin": "drwxr-xr-x", "bin/run": "-rwxr-xr-x", "empty": "drwxr-xr-x"}
			if got := modes(t, dir); !maps.Equal(got, want) {
				t.Errorf("unpacked %v, want %v", got, want)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "a", "b.txt")); err != nil || string(got) != "content of a/b.txt" {
				t.Errorf("a/b.txt is %q, %v", got, err)
			}
		})
	}
}

// modes answers the permissions of everything in dir.

func modes(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := eachEntry(dir, func(name string, info fs.FileInfo) error {
		found[name] = info.Mode().String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEntriesThatAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	encrypted := zipped("secret", 0o644)
	encrypted.Flags = 1
	cases := []struct {
		name    string
		archive []byte
		want    []string
	}{
		{"parent", tarGz(t, file("a/../../x", "")), []string{`"a/../../x"`, "has .. in its path"}},
		{"parent that stays inside", tarGz(t, file("a/../x", "")), []string{`"a/../x"`, "has .. in its path"}},
		{"parent in a zip", zipOf(t, zipped("../x", 0o644)), []string{`"../x"`, "has .. in its path"}},
		{"parent folder", tarGz(t, special("../", tar.TypeDir)), []string{`"../"`, "has .. in its path"}},
		{"absolute", tarGz(t, file("/etc/passwd", "")), []string{`"/etc/passwd"`, "has an absolute path"}},
		{"absolute in a zip", zipOf(t, zipped("/x", 0o644)), []string{`"/x"`, "has an absolute path"}},
		{"drive", zipOf(t, zipped("C:x", 0o644)), []string{`"C:x"`, "has an absolute path"}},
		{"backslash", zipOf(t, zipped(`..\x`, 0o644)), []string{`"..\\x"`, "has a backslash in its name"}},
		{"NUL", zipOf(t, zipped("a\x00b", 0o644)), []string{`"a\x00b"`, "has a NUL byte in its name"}},
		{"not UTF-8", zipOf(t, zipped("a\xffb", 0o644)), []string{`"a\xffb"`, "not UTF-8"}},
		{"no name", zipOf(t, zipped("", 0o644)), []string{`""`, "has no name"}},
		{"the root as a file", zipOf(t, zipped(".", 0o644)), []string{`"."`, "in the place of the root"}},
		{"long name", tarGz(t, file(long, "")), []string{"has a name of more than 255 bytes"}},
		{"long path", tarGz(t, file(strings.Repeat("x/", 600)+"x", "")), []string{"has a path of more than 1024 bytes"}},
		{"symbolic link", tarGz(t, special("link", tar.TypeSymlink)), []string{`"link"`, "is a link"}},
		{"symbolic link in a zip", zipOf(t, zipped("link", fs.ModeSymlink|0o777)), []string{`"link"`, "is a link"}},
		{"hard link", tarGz(t, special("link", tar.TypeLink)), []string{`"link"`, "is a link"}},
		{"pipe", tarGz(t, special("pipe", tar.TypeFifo)), []string{`"pipe"`, "is a device, a pipe"}},
		{"character device", tarGz(t, special("null", tar.TypeChar)), []string{`"null"`, "is a device, a pipe"}},
		{"block device", tarGz(t, special("disk", tar.TypeBlock)), []string{`"disk"`, "is a device, a pipe"}},
		{"device in a zip", zipOf(t, zipped("null", fs.ModeDevice|fs.ModeCharDevice|0o666)), []string{`"null"`, "is a device, a pipe"}},
		{"encrypted", zipOf(t, encrypted), []string{`"secret"`, "is encrypted"}},
		{"twice", tarGz(t, file("x", "1"), file("./x", "2")), []string{`"./x"`, "is in the archive twice"}},
		{"file, then folder", tarGz(t, file("x", "1"), special("x", tar.TypeDir)), []string{`"x"`, "both a file and a folder"}},
		{"file, then a file in it", tarGz(t, file("x", "1"), file("x/y", "2")), []string{`"x/y"`, `makes "x" both a file and a folder`}},
		{"folder, then file", tarGz(t, file("x/y", "1"), file("x", "2")), []string{`"x"`, "both a file and a folder"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			refuses(t, c.archive, generous, c.want...)
		})
	}
}

func TestArchivesThatAreRefused(t *testing.T) {
	t.Parallel()
	whole := tarOf(t, map[string]string{"a": strings.Repeat("a", 2000), "b": "b"})
	wrongSum := slices.Clone(whole)
	wrongSum[len(wrongSum)-5] ^= 1
	plainTar, err := io.ReadAll(must(gzip.NewReader(bytes.NewReader(whole))))
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name    string
		archive []byte
		want    string
	}{
		{"nothing", nil, "is empty"},
		{"text", []byte("def handler(payload, ctx): ..."), "neither a tar.gz nor a zip"},
		{"tar that is not compressed", plainTar, "not compressed"},
		{"gzip of something else", gzipped(t, func(w io.Writer) { _, _ = io.WriteString(w, strings.Repeat("text", 500)) }), "damaged"},
		{"cut off", whole[:len(whole)-12], "damaged"},
		{"wrong checksum", wrongSum, "damaged"},
		{"gzip head only", whole[:4], "damaged"},
		{"zip head only", []byte("PK\x03\x04rest"), "damaged"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			refuses(t, c.archive, generous, c.want)
		})
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// refuses expects the same refusal from whoever looks at an archive and from whoever unpacks it, and nothing outside of the folder.

func refuses(t *testing.T, content []byte, l limits, want ...string) {
	t.Helper()
	outside := t.TempDir()
	inside := filepath.Join(outside, "inside")
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	_, listed := list(t.Context(), inMemory(content), l)
	unpacked := unpack(t.Context(), inMemory(content), inside, l, writable)
	for _, err := range []error{listed, unpacked} {
		if !errors.Is(err, store.ErrInvalidCode) {
			t.Fatalf("got the error %v, want an invalid code", err)
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error %q does not say %q", err, part)
			}
		}
	}
	if entries := must(os.ReadDir(outside)); len(entries) != 1 {
		t.Errorf("unpacking wrote outside of its folder: %v", entries)
	}
}

// squeezedZip has a file of a size of which its header says something else.
