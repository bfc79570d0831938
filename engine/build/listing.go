package build

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// list answers the paths of an archive's files without writing anything. Of the contents only that of Procfile is kept.
func list(ctx context.Context, a archive, l limits) (files map[string][]byte, err error) {
	const maxKept = 64 << 10
	files = map[string][]byte{}
	err = walk(ctx, a, l, func(e entry, content io.Reader) error {
		if e.mode.IsDir() {
			return nil
		}
		files[e.name] = nil
		if e.name != "Procfile" {
			return nil
		}
		kept, err := io.ReadAll(io.LimitReader(content, maxKept))
		files[e.name] = kept
		return err
	})
	return files, err
}

// explain adds to the error of a check what is the matter most often: the folder was packed, and not what is in it.
func explain(err error, files map[string][]byte) error {
	folder := topFolder(files)
	if folder == "" {
		return err
	}
	return fmt.Errorf("%w; everything is inside the folder %q: pack what is in it (tar -czf code.tar.gz -C %s .)", err, folder, folder)
}

// topFolder answers the one folder that all files are in. What macOS adds to an archive does not count.
func topFolder(files map[string][]byte) string {
	found := ""
	for name := range files {
		folder, _, nested := strings.Cut(name, "/")
		if folder == "__MACOSX" || folder == ".DS_Store" || strings.HasPrefix(folder, "._") {
			continue
		}
		if !nested || found != "" && found != folder {
			return ""
		}
		found = folder
	}
	return found
}
