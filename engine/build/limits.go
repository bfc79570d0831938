package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"dodil.io/ignite/store"
)

// limits bound what comes out of one archive.
type limits struct {
	bytes int64
	files int
}

func (l limits) tooLarge() error {
	return fmt.Errorf("%w: the archive unpacks to more than the limit of %d bytes", store.ErrInvalidCode, l.bytes)
}

func (l limits) tooMany() error {
	return fmt.Errorf("%w: the archive has more than the limit of %d files and folders", store.ErrInvalidCode, l.files)
}

// tally stands between an archive and its visitor. It checks names, counts, and knows what every path is.
type tally struct {
	limits
	visit visitor
	// left is what of limits.bytes is not used up.
	left int64
	// folders tells for every path so far, folders that are only implied included, whether it is one.
	folders map[string]bool
}

func newTally(l limits, visit visitor) *tally {
	return &tally{limits: l, visit: visit, left: l.bytes, folders: map[string]bool{}}
}

func (t *tally) folder(name string) error {
	clean, err := cleanName(name)
	if err != nil {
		return err
	}
	if clean == "." {
		return nil
	}
	if err := t.claim(name, clean, true); err != nil {
		return err
	}
	return t.visit(entry{name: clean, mode: fs.ModeDir | 0o755}, eof{})
}

func (t *tally) file(name string, executable bool, content io.Reader) error {
	clean, err := cleanName(name)
	if err != nil {
		return err
	}
	if clean == "." {
		return refuse(name, "is a file in the place of the root folder")
	}
	if err := t.claim(name, clean, false); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	counted := &limited{source: content, left: &t.left, over: t.tooLarge}
	if err := t.visit(entry{name: clean, mode: mode}, counted); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, counted)
	return err
}

// claim takes a path, and those of the folders above it, for one entry.
func (t *tally) claim(name, clean string, folder bool) error {
	if parent := path.Dir(clean); parent != "." {
		if err := t.claim(name, parent, true); err != nil {
			return err
		}
	}
	isFolder, taken := t.folders[clean]
	switch {
	case taken && isFolder != folder:
		return refuse(name, fmt.Sprintf("makes %q both a file and a folder", clean))
	case taken && !folder:
		return refuse(name, "is in the archive twice")
	case taken:
		return nil
	case len(t.folders) == t.files:
		return t.tooMany()
	}
	t.folders[clean] = folder
	return nil
}

// limitStream bounds a tar with its headers, which may be many and large although no file is.
func (t *tally) limitStream(source io.Reader) io.Reader {
	const headers = 4 << 10
	left := t.bytes + headers*(int64(t.files)+1)
	return &limited{source: source, left: &left, over: t.tooLarge}
}

// limited reads at most *left bytes from source, and then fails. Errors of source come out as those of a damaged archive.
type limited struct {
	source io.Reader
	left   *int64
	over   func() error
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.source.Read(p)
	*l.left -= int64(n)
	if *l.left < 0 {
		return 0, l.over()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, damaged(err)
	}
	return n, err
}

// eof is an empty content.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
