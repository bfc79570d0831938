package sandbox

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Where a pod finds its own folders.
const (
	Home = "/home/pod"
	Temp = "/tmp"
)

// Visible says what of the machine pods can see.
type Visible struct {
	// Paths are files and folders, Links symbolic links at the root.
	Paths []string
	Links map[string]string
	// Hidden are files and folders that cannot be seen even where they are in one of Paths.
	Hidden []string
	// Late are files and folders where pods have folders of their own: each pod gets them in these.
	Late []string
}

// system are the folders in which machines keep programs and what these need; the rest of the root is data.
var system = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store", "/gnu/store",
	"/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage",
}

// own are the folders that are a pod's own, whatever the machine has there.
var own = []string{Temp, Home, "/var/tmp", "/dev", "/proc"}

// Machine answers what of this machine programs need: the system's own folders, and those of search, which is the PATH. hidden are
// files and folders that are to be hidden.
func Machine(search string, hidden []string) Visible {
	v := Visible{Links: make(map[string]string)}
	for _, path := range hidden {
		v.Hidden = append(v.Hidden, real(path)...)
	}
	for _, path := range system {
		v.add(path)
	}
	var installed []string
	for _, dir := range filepath.SplitList(search) {
		for _, bin := range real(dir) {
			installed = append(installed, cmp.Or(installation(bin), bin))
		}
	}
	// What it links to may be anywhere, and is replaced rather than changed.
	if target, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		installed = append(installed, filepath.Dir(target))
	}
	for _, path := range v.missing(installed) {
		v.add(path)
	}
	return v
}

func real(path string) []string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	if target, err := filepath.EvalSymlinks(absolute); err == nil && target != absolute {
		return []string{absolute, target}
	}
	return []string{absolute}
}

// add shows path, unless it can be seen anyway.
func (v *Visible) add(path string) {
	info, err := os.Lstat(path)
	if err != nil || v.Shows(path) {
		return
	}
	if within(path, own) {
		v.addLate(path)
		return
	}
	if info.Mode()&os.ModeSymlink == 0 {
		v.Paths = append(v.Paths, path)
		return
	}
	if target, err := os.Readlink(path); err == nil && filepath.Dir(path) == "/" {
		v.Links[path] = target
	}
}

// All are all that is visible.
func (v *Visible) All() []string {
	return slices.AppendSeq(slices.Concat(v.Paths, v.Late), maps.Keys(v.Links))
}

// addLate leaves out what something is hidden in: that is done in the Root only.
func (v *Visible) addLate(path string) {
	hasHidden := slices.ContainsFunc(v.Hidden, func(hidden string) bool { return within(hidden, []string{path}) })
	if !hasHidden && !within(path, v.Hidden) {
		v.Late = append(v.Late, path)
	}
}

// Shows reports whether path can be seen.
func (v *Visible) Shows(path string) bool {
	path = filepath.Clean(path)
	shown := within(path, v.Paths) || within(path, slices.Collect(maps.Keys(v.Links)))
	return shown && !within(path, v.Hidden)
}

func within(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
	})
}

// missing answers those of paths that cannot be seen, each once and none that is in another of them, the shorter first.
func (v *Visible) missing(paths []string) []string {
	var missing []string
	for _, path := range slices.SortedFunc(slices.Values(paths), func(a, b string) int { return cmp.Compare(len(a), len(b)) }) {
		path = filepath.Clean(path)
		if !v.Shows(path) && !within(path, missing) {
			missing = append(missing, path)
		}
	}
	return missing
}

// Installation answers what belongs to a program by the custom that it lies in the folder bin of what it was installed into, beside
// lib: that, if it is nobody's home, or else the program alone. A link counts with what it leads to.
func Installation(program string) []string {
	var paths []string
	for _, path := range real(program) {
		if whole := installation(filepath.Dir(path)); whole != "" {
			paths = append(paths, whole)
		} else {
			paths = append(paths, path)
		}
	}
	return paths
}

// installation answers what bin is the programs of, bin itself if that is more than programs, and nothing if it is no folder of programs.
func installation(bin string) string {
	switch filepath.Base(bin) {
	case "bin", "sbin", "shims":
	default:
		return ""
	}
	prefix := filepath.Dir(bin)
	if isHome(prefix) || filepath.Base(prefix) == ".local" {
		return bin
	}
	return prefix
}

// isHome reports whether dir holds things of a person, or of the machine.
func isHome(dir string) bool {
	home, err := os.UserHomeDir()
	return err == nil && dir == filepath.Clean(home) || dir == "/" || filepath.Dir(dir) == "/" && dir != "/usr" || filepath.Dir(dir) == "/home"
}
