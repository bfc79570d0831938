package logs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*lineBytes)
	var many strings.Builder
	var last []string
	for i := range 3 * tailLines {
		fmt.Fprintln(&many, i)
		if i >= 2*tailLines {
			last = append(last, fmt.Sprint(i))
		}
	}
	for _, test := range []struct {
		name   string
		writes []string
		want   []string
	}{
		{"nothing", nil, nil},
		{"one line", []string{"a\n"}, []string{"a"}},
		{"unfinished", []string{"a\nb"}, []string{"a", "b"}},
		{"in pieces", []string{"a", "b\nc", "d\n"}, []string{"ab", "cd"}},
		{"empty lines", []string{"\n\na\n"}, []string{"", "", "a"}},
		{"line ends of Windows", []string{"a\r\nb\r\n"}, []string{"a", "b"}},
		{"not UTF-8", []string{"\xffa\n"}, []string{"\uFFFDa"}},
		{"too long", []string{long, long, "\nb\n"}, []string{long[:lineBytes], "b"}},
		{"too long and unfinished", []string{long, long}, []string{long[:lineBytes]}},
		{"too many", []string{many.String()}, last},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var kept Tail
			for _, text := range test.writes {
				if n, err := kept.Write([]byte(text)); n != len(text) || err != nil {
					t.Errorf("Write answered %d, %v for %d bytes", n, err, len(text))
				}
			}
			if got := kept.Lines(); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// FuzzTail holds that what is kept does not depend on where writes are cut.
func FuzzTail(f *testing.F) {
	f.Add([]byte("a\nb\r\n\xc3\xbc\n\nc"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var whole, pieces Tail
		_, _ = whole.Write(data)
		for piece := range slices.Chunk(data, min(max(cut, 1), 1<<20)) {
			_, _ = pieces.Write(piece)
		}
		if got, want := pieces.Lines(), whole.Lines(); !slices.Equal(got, want) {
			t.Fatalf("in pieces %q, in one write %q", got, want)
		}
		if lines := bytes.Count(data, []byte("\n")); len(whole.ring) != min(lines, tailLines) {
			t.Fatalf("%d lines are kept of %d", len(whole.ring), lines)
		}
	})
}
