package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestShows(t *testing.T) {
	t.Parallel()
	v := Visible{Paths: []string{"/usr", "/opt/data"}, Links: map[string]string{"/bin": "usr/bin"}, Hidden: []string{"/usr/lib/data", "/opt/data/key"}}
	for path, want := range map[string]bool{
		"/usr": true, "/usr/bin/sh": true, "/bin/sh": true, "/usr/../usr/bin": true, "/opt/data": true,
		"/usrlocal": false, "/": false, "/home": false, "/usr/lib/data": false, "/usr/lib/data/nats": false, "/usr/lib/database": true,
		"/opt/data/key": false, "/usr/../etc": false, "/binary": false,
	} {
		if got := v.Shows(path); got != want {
			t.Errorf("%s is shown: %v, want %v", path, got, want)
		}
	}
}

// What is in something that is shown is not shown again, and what is hidden is, when it is asked for.
func TestMissing(t *testing.T) {
	t.Parallel()
	v := Visible{Paths: []string{"/usr"}, Hidden: []string{"/usr/data"}}
	got := v.missing([]string{"/usr/data/code/1/bin", "/usr/bin/python3", "/srv/x", "/usr/data/code/1", "/srv/x/", "/srv/xy"})
	if want := []string{"/srv/x", "/srv/xy", "/usr/data/code/1"}; !slices.Equal(got, want) {
		t.Errorf("missing are %q, want %q", got, want)
	}
}

func TestInstallation(t *testing.T) {
	t.Setenv("HOME", "/root")
	for program, want := range map[string]string{
		"/opt/python/bin/python3":               "/opt/python",
		"/root/versions/3.11/bin/python3":       "/root/versions/3.11",
		"/root/.pyenv/shims/python3":            "/root/.pyenv",
		"/usr/local/bin/node":                   "/usr/local",
		"/usr/bin/node":                         "/usr",
		"/root/bin/tool":                        "/root/bin",
		"/home/anna/bin/tool":                   "/home/anna/bin",
		"/home/anna/.local/bin/tool":            "/home/anna/.local/bin",
		"/srv/bin/tool":                         "/srv/bin",
		"/srv/data/code/1/server":               "/srv/data/code/1/server",
		"/tmp/build/programs/of-a-test/example": "/tmp/build/programs/of-a-test/example",
	} {
		if got := Installation(program); !slices.Equal(got, []string{want}) {
			t.Errorf("with %s comes %q, want %q", program, got, want)
		}
	}
}

// A link and what it leads to are both needed: programs look for their libraries beside either.
func TestInstallationOfALink(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, bin := range []string{"environment/bin", "python/bin"} {
		if err := os.MkdirAll(filepath.Join(dir, bin), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	real, link := filepath.Join(dir, "python/bin/python3"), filepath.Join(dir, "environment/bin/python")
	if err := os.WriteFile(real, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if got, want := Installation(link), []string{filepath.Join(dir, "environment"), filepath.Join(dir, "python")}; !slices.Equal(got, want) {
		t.Errorf("with a link comes %q, want %q", got, want)
	}
}

// The machine's programs are visible, wherever they are on the PATH, and people's homes are not.
func TestMachine(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "tools/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	v := Machine(bin+":/usr/bin:/no/such/bin", nil)
	for path, want := range map[string]bool{
		"/bin/sh": true, "/usr/bin/env": true, "/etc/passwd": true, "/home": false, "/var/lib": false, "/no/such/bin": false, dir: false,
	} {
		if got := v.Shows(path); got != want {
			t.Errorf("%s is shown: %v, want %v", path, got, want)
		}
	}
	if tools := filepath.Join(dir, "tools"); within(tools, []string{Temp}) && !slices.Equal(v.Late, []string{tools}) {
		t.Errorf("in folders that are a pod's own it shows %q, want %q", v.Late, tools)
	}
	if v := Machine(bin, []string{filepath.Join(dir, "tools/secret")}); v.Shows(bin) || len(v.Late) > 0 {
		t.Errorf("a folder in which something is hidden is shown in %q", v.Late)
	}
}
