package build

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	l := limits{bytes: 1000, files: 5}
	many := map[string]string{"1": "", "2": "", "3": "", "4": "", "5": "", "6": ""}
	cases := []struct {
		name    string
		archive []byte
		want    string
	}{
		{"one large file", tarOf(t, map[string]string{"x": strings.Repeat("x", 1001)}), "limit of 1000 bytes"},
		{"two files together", tarOf(t, map[string]string{"x": strings.Repeat("x", 500), "y": strings.Repeat("y", 501)}), "limit of 1000 bytes"},
		{"zip that is a bomb", squeezedZip(t, 100<<10, 100<<10), "limit of 1000 bytes"},
		{"zip whose header lies", squeezedZip(t, 100<<10, 1), "damaged"},
		{"bomb behind the end", gzipped(t, func(w io.Writer) { _, _ = w.Write(make([]byte, 1<<20)) }), "limit of 1000 bytes"},
		{"many files", tarOf(t, many), "limit of 5 files and folders"},
		{"folders that are only implied", tarOf(t, map[string]string{"1/2/3/4/5/6": ""}), "limit of 5 files and folders"},
		{"headers without end", tarGz(t, manyHeaders(100)...), "limit of 1000 bytes"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			refuses(t, c.archive, l, c.want)
		})
	}
	t.Run("just fits", func(t *testing.T) {
		t.Parallel()
		fits := tarOf(t, map[string]string{"1/2/3/x": strings.Repeat("x", 1000), "y": ""})
		if _, err := list(t.Context(), inMemory(fits), l); err != nil {
			t.Error(err)
		}
	})
}

func manyHeaders(count int) []tarEntry {
	comment := tarEntry{header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": strings.Repeat("c", 500)}}}
	return slices.Repeat([]tarEntry{comment}, count)
}

func squeezedZip(t testing.TB, size int, said uint64) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := zip.NewWriter(&packed)
	var squeezed bytes.Buffer
	deflater := must(flate.NewWriter(&squeezed, flate.BestSpeed))
	if _, err := deflater.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := deflater.Close(); err != nil {
		t.Fatal(err)
	}
	w := must(writer.CreateRaw(&zip.FileHeader{Name: "x", Method: zip.Deflate, CompressedSize64: uint64(squeezed.Len()), UncompressedSize64: said}))
	if _, err := w.Write(squeezed.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
