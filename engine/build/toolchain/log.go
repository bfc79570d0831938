package toolchain

import "strings"

// MaxLog is how much of a log is kept, in bytes.
const MaxLog = 64 << 10

// Log keeps the last MaxLog bytes that tools printed. The zero value is ready to use.
type Log struct {
	kept []byte
	cut  bool
}

// Write never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p...)
	// Twice the bound, so that bytes are moved once in a while and not at each write.
	if len(l.kept) > 2*MaxLog {
		l.trim()
	}
	return len(p), nil
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
