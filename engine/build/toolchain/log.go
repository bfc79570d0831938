package toolchain

import (
	"io"
	"strings"
)

// MaxLog is how much of a log is kept, in bytes.
const MaxLog = 64 << 10

// maxLine is the longest line that Lines gets in one piece.
const maxLine = 8 << 10

// Log keeps the last MaxLog bytes that tools printed. The zero value is ready to use.
type Log struct {
	// Lines, if it is set, gets every line as it comes, one with each Write, with its line feed. What it answers is not looked at.
	Lines io.Writer

	kept []byte
	cut  bool
	// begun is the line that is not at its end yet.
	begun []byte
}

// Write never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.pass(p)
	l.kept = append(l.kept, p...)
	// Twice the bound, so that bytes are moved once in a while and not at each write.
	if len(l.kept) > 2*MaxLog {
		l.trim()
	}
	return len(p), nil
}

// pass hands on the lines that p ends.
func (l *Log) pass(p []byte) {
	if l.Lines == nil {
		return
	}
	for _, c := range p {
		if l.begun = append(l.begun, c); c == '\n' {
			l.flush()
		} else if len(l.begun) == maxLine {
			l.endLine()
		}
	}
}

// endLine ends a line that somebody left without an end.
func (l *Log) endLine() {
	if len(l.begun) > 0 {
		l.begun = append(l.begun, '\n')
		l.flush()
	}
}

func (l *Log) flush() {
	_, _ = l.Lines.Write(l.begun)
	l.begun = l.begun[:0]
}

func (l *Log) trim() {
	if len(l.kept) > MaxLog {
		l.kept = append(l.kept[:0], l.kept[len(l.kept)-MaxLog:]...)
		l.cut = true
	}
}

// String answers what is kept, in valid UTF-8, and says if that is not all.
func (l *Log) String() string {
	l.trim()
	text := strings.ToValidUTF8(string(l.kept), "\uFFFD")
	if l.cut {
		return "… (earlier lines were left out)\n" + text
	}
	return text
}

// Summary answers the first few lines that keep likes, for the text of an error.
func (l *Log) Summary(keep func(line string) bool) string {
	const maxLines, maxBytes = 10, 1 << 10
	var lines []string
	size := 0
	for line := range strings.Lines(l.String()) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || !keep(line) {
			continue
		}
		if len(lines) == maxLines || size+len(line) > maxBytes {
			lines = append(lines, "…")
			break
		}
		lines = append(lines, line)
		size += len(line) + 1
	}
	return strings.Join(lines, "\n")
}
