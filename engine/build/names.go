package build

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"dodil.io/ignite/store"
)

const (
	maxPath    = 1024
	maxElement = 255
)

// cleanName answers the name of an entry as a path that is relative to the archive's root, "." for the root itself. What could lead
// anywhere else, on any operating system, is refused.
func cleanName(name string) (string, error) {
	if rule := brokenRule(name); rule != "" {
		return "", refuse(name, rule)
	}
	return path.Clean(name), nil
}

func brokenRule(name string) string {
	elements := strings.Split(name, "/")
	switch {
	case name == "":
		return "has no name"
	case len(name) > maxPath:
		return fmt.Sprintf("has a path of more than %d bytes", maxPath)
	case !utf8.ValidString(name):
		return "has a name that is not UTF-8"
	case strings.ContainsRune(name, 0):
		return "has a NUL byte in its name"
	case strings.Contains(name, `\`):
		return "has a backslash in its name; paths are separated by /"
	case strings.HasPrefix(name, "/"), hasDrive(name), hasDrive(path.Clean(name)):
		return "has an absolute path"
	case slices.Contains(elements, ".."):
		return "has .. in its path"
	case slices.ContainsFunc(elements, func(e string) bool { return len(e) > maxElement }):
		return fmt.Sprintf("has a name of more than %d bytes", maxElement)
	}
	return ""
}

// hasDrive finds "C:" and the like; "./C:" becomes one only when it is cleaned.
func hasDrive(name string) bool {
	if len(name) < 2 || name[1] != ':' {
		return false
	}
	letter := name[0] | 0x20
	return 'a' <= letter && letter <= 'z'
}

// refuse says which entry breaks which rule.
func refuse(name, rule string) error {
	if len(name) > maxElement {
		name = name[:maxElement] + "…"
	}
	return fmt.Errorf("%w: archive entry %q %s", store.ErrInvalidCode, name, rule)
}
