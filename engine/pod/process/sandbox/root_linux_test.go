package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// place is a machine with an installation in which a server keeps its data, too, and a Root of it.
type place struct {
	*testing.T
	dir  string
	root *Root
}

func newPlace(t *testing.T) place {
	t.Helper()
	// Temporary folders of the machine are not seen by pods at all.
	dir, err := os.MkdirTemp("/run", "sandbox-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for name, content := range map[string]string{
		"shown/file": "shown", "shown/data/key": "key", "shown/data/code/1/file": "code", "shown/data/code/2/file": "other",
		"shown/secret": "secret", "home/.keep": "", "temp/.keep": "", "root/.keep": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	visible := Machine("/usr/bin:/bin", []string{filepath.Join(dir, "shown/data"), filepath.Join(dir, "shown/secret")})
	visible.Paths = append(visible.Paths, filepath.Join(dir, "shown"))
	root, err := NewRoot(filepath.Join(dir, "root"), visible)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	return place{t, dir, root}
}

// run answers what a shell prints that sees the place with the code of 1.
func (p place) run(line string) string {
	p.Helper()
	view, err := p.root.View(Folders{
		Home: filepath.Join(p.dir, "home"), Temp: filepath.Join(p.dir, "temp"), ReadOnly: []string{filepath.Join(p.dir, "shown/data/code/1"), "/bin/sh"},
	})
	if err != nil {
		p.Fatal(err)
	}
	defer view.Close()
	var output []byte
	err = On(func() (err error) {
		if err := view.Enter(IPC | PID); err != nil {
			return err
		}
		shell := exec.Command("/bin/sh", "-c", line)
		shell.Dir = "/"
		output, err = shell.CombinedOutput()
		return err
	})
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited { // what it prints says how it went
		p.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}

// Data in a folder that is shown is hidden all the same, but for what a pod is to see of it.
func TestRootHides(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	shown := filepath.Join(p.dir, "shown")
	for line, want := range map[string]string{
		"cat " + shown + "/file":                      "shown",
		"cat " + shown + "/data/code/1/file":          "code",
		"cat " + shown + "/secret 2>/dev/null":        "",
		"cat " + shown + "/data/key 2>/dev/null":      "",
		"ls " + shown + "/data/code/2 2>/dev/null":    "",
		"ls -A " + shown + "/data":                    "code",
		"ls -A " + filepath.Dir(shown):                "shown",
		"cd " + Home + " && echo x >file && cat file": "x",
	} {
		if got := p.run(line); got != want {
			t.Errorf("%q prints %q, want %q", line, got, want)
		}
	}
}

// Not even root writes to what is read-only, or leaves anything in it.
func TestRootIsReadOnly(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, dir := range []string{"/", "/etc", "/usr", "/dev", "shown", "shown/data", "shown/data/code", "shown/data/code/1", "."} {
		if dir[0] != '/' {
			dir = filepath.Join(p.dir, dir)
		}
		if got := p.run("echo x >" + dir + "/file && echo written"); strings.HasSuffix(got, "written") {
			t.Errorf("a file was written to %s", dir)
		}
	}
	if got := p.run("echo x >" + Home + "/file && echo x >" + Temp + "/file && echo x >/dev/shm/file && echo written"); got != "written" {
		t.Errorf("the pod's own folders cannot be written to: %s", got)
	}
	if written, err := filepath.Glob(filepath.Join(p.dir, "*/file")); err != nil || len(written) != 3 {
		t.Errorf("outside there are %q, %v", written, err)
	}
}

// Pods that are there at the same time do not see each other's mounts, and the machine sees none.
func TestViewsAreApart(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if got := p.run("ls -A /dev/shm; echo x >/dev/shm/file"); got != "" {
		t.Errorf("/dev/shm has %q", got)
	}
	if got := p.run("ls -A /dev/shm"); got != "" {
		t.Errorf("/dev/shm of another has %q", got)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), p.dir) {
		t.Errorf("the machine has mounts in %s: %s, %v", p.dir, mounts, err)
	}
}
