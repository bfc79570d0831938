package cgroup

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const mountsOfBoth = `24 1 0:22 / /proc rw,relatime - proc proc rw
30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:5 - cgroup2 cgroup2 rw,nsdelegate
32 30 0:28 /docker/abc /sys/fs/cgroup/memory rw shared:6 master:2 - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/my\040pids rw - cgroup cgroup rw,pids
`

const membershipOfBoth = `12:pids:/user.slice
5:cpu,cpuacct:/
4:memory:/docker/abc/ignite
1:name=systemd:/user.slice/session
0::/user.slice/session
`

func TestHierarchies(t *testing.T) {
	t.Parallel()
	all, err := hierarchies(mountsOfBoth, membershipOfBoth)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, h := range all {
		found[strings.Join(h.controllers, ",")] = h.own
	}
	for controllers, want := range map[string]string{
		"":            "/sys/fs/cgroup/unified/user.slice/session",
		"memory":      "/sys/fs/cgroup/memory/ignite",
		"cpu,cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
		"pids":        "/sys/fs/cgroup/my pids/user.slice",
	} {
		if found[controllers] != want {
			t.Errorf("our group of %q is %q, want %q", controllers, found[controllers], want)
		}
	}
	if len(found) != 4 {
		t.Errorf("found %v", found)
	}
}

func TestGroupOutsideOfWhatIsMounted(t *testing.T) {
	t.Parallel()
	all, err := hierarchies("32 30 0:28 /docker/abc /memory rw - cgroup cgroup rw,memory\n", "4:memory:/docker/abcd\n")
	if err != nil || len(all) != 0 {
		t.Errorf("found %v, %v", all, err)
	}
	if all, err := hierarchies(mountsOfBoth, "nonsense\n"); err == nil {
		t.Errorf("nonsense was read as %v", all)
	}
}

// FuzzHierarchies holds that what is found lies where something is mounted, and is clean.
func FuzzHierarchies(f *testing.F) {
	f.Add(mountsOfBoth, membershipOfBoth)
	f.Add("1 1 1:1 /a/b /x rw - cgroup2 c rw\n", "0::/a/b/../c\n")
	f.Fuzz(func(t *testing.T, mountInfo, self string) {
		all, err := hierarchies(mountInfo, self)
		if err != nil {
			return
		}
		for _, h := range all {
			inside := strings.HasPrefix(h.own, strings.TrimSuffix(filepath.Clean(h.mount), "/")+"/")
			if h.own != filepath.Clean(h.mount) && !inside {
				t.Errorf("group %q is not in %q", h.own, h.mount)
			}
			if slices.Contains(strings.Split(h.own, "/"), "..") {
				t.Errorf("group %q leaves its folder", h.own)
			}
		}
	})
}
