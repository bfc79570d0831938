package cgroup

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// hierarchy is one mounted tree of groups, and where in it this process is.
type hierarchy struct {
	controllers []string // none for version 2, which says so in a file
	mount       string
	own         string // the folder of our own group
}

func (h hierarchy) isV2() bool { return h.controllers == nil }

// hierarchies reads proc_pid_mountinfo(5) and the file of cgroups(7) that says in which group a process is.
func hierarchies(mountInfo, self string) ([]hierarchy, error) {
	groups, err := parseSelf(self)
	if err != nil {
		return nil, err
	}
	var all []hierarchy
	for line := range strings.Lines(mountInfo) {
		m, ok := parseMount(line)
		if !ok {
			continue
		}
		for _, g := range groups {
			if !g.isOf(m) {
				continue
			}
			if inside, ok := relative(m.root, g.path); ok {
				all = append(all, hierarchy{controllers: g.controllers, mount: m.point, own: filepath.Join(m.point, inside)})
			}
		}
	}
	return all, nil
}

// relative answers path as seen from root, which is what of the hierarchy is mounted.
func relative(root, path string) (string, bool) {
	if root == "/" {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, root)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// membership is one line of /proc/self/cgroup.
type membership struct {
	controllers []string
	path        string
}

func (g membership) isOf(m mount) bool {
	if g.controllers == nil {
		return m.kind == "cgroup2"
	}
	return m.kind == "cgroup" && !slices.ContainsFunc(g.controllers, func(c string) bool { return !slices.Contains(m.options, c) })
}

func parseSelf(self string) ([]membership, error) {
	var groups []membership
	for line := range strings.Lines(self) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 || !strings.HasPrefix(fields[2], "/") {
			return nil, fmt.Errorf("membership %q has not the form number:controllers:path", line)
		}
		group := membership{path: filepath.Clean(fields[2])}
		if fields[1] != "" {
			group.controllers = strings.Split(fields[1], ",")
		}
		groups = append(groups, group)
	}
	return groups, nil
}

type mount struct {
	root, point, kind string
	options           []string
}

// parseMount reads "36 35 98:0 /root /point rw,noatime master:1 - kind source rw,options"; the optional fields before the dash vary.
func parseMount(line string) (mount, bool) {
	before, after, found := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !found || len(left) < 5 || len(right) < 3 {
		return mount{}, false
	}
	return mount{root: unescape(left[3]), point: unescape(left[4]), kind: right[0], options: strings.Split(right[2], ",")}, true
}

// unescape undoes how the kernel writes what would end a field.
func unescape(field string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(field)
}
