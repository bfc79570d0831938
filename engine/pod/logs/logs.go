// Package logs keeps the last lines of what a pod writes, for drivers.
package logs

import (
	"bytes"
	"strings"
	"sync"
)

const (
	tailLines = 200
	lineBytes = 2 << 10
)

// Tail keeps the last lines of what is written to it, each up to lineBytes. The zero value is empty.
type Tail struct {
	mu      sync.Mutex
	ring    []string
	next    int // where the next line goes once ring is full
	partial []byte
}

// Write never fails and never waits for anybody but the readers of Lines.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	for {
		line, rest, found := bytes.Cut(p, []byte("\n"))
		t.partial = append(t.partial, line[:min(len(line), lineBytes-len(t.partial))]...)
		if !found {
			return n, nil
		}
		t.add(text(t.partial))
		t.partial = t.partial[:0]
		p = rest
	}
}

func (t *Tail) add(line string) {
	if len(t.ring) < tailLines {
		t.ring = append(t.ring, line)
		return
	}
	t.ring[t.next] = line
	t.next = (t.next + 1) % tailLines
}

// Lines answers what is kept, oldest first, with a last line that is not finished yet.
func (t *Tail) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := append(append([]string(nil), t.ring[t.next:]...), t.ring[:t.next]...)
	if len(t.partial) > 0 {
		lines = append(lines, text(t.partial))
	}
	return lines
}

// text makes a line fit for a log or an API that takes only UTF-8.
func text(line []byte) string {
	return strings.ToValidUTF8(strings.TrimSuffix(string(line), "\r"), "\uFFFD")
}
