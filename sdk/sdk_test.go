package sdk

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A file that was forgotten would be missed only by the next build of somebody's function.
func TestTheWholePackageIsThere(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("go/*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	entries, err := Go.ReadDir("go")
	if err != nil {
		t.Fatal(err)
	}
	var carried []string
	for _, entry := range entries {
		carried = append(carried, "go/"+entry.Name())
	}
	if !slices.Equal(files, carried) {
		t.Errorf("it carries %v, and the folder has %v", carried, files)
	}
}
