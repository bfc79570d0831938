package python

import (
	"archive/zip"
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	r := New(t.TempDir())
	if err := r.Check(map[string][]byte{"handler.py": nil}); err != nil {
		t.Error(err)
	}
	err := r.Check(map[string][]byte{"lib/handler.py": nil})
	if !errors.Is(err, store.ErrInvalidCode) || !strings.Contains(err.Error(), "handler.py is missing at the root") {
		t.Errorf("got the error %v", err)
	}
}

func TestLaunch(t *testing.T) {
	t.Parallel()
	r := New(filepath.Join(t.TempDir(), "made", "when needed"))
	launch, err := r.Launch(t.Context(), "/code", store.Version{})
	if err != nil {
		t.Fatal(err)
	}
	if launch.Dir != "/code" || !launch.SocketActivation || launch.HealthPath != "/healthz" || launch.Env["IGNITE_MAX_CONCURRENCY"] != "80" {
		t.Errorf("got %+v", launch)
	}
	for _, name := range launch.Command {
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s is not there: %v", name, err)
		}
	}
	launch, err = r.Launch(t.Context(), "/code", store.Version{Config: store.Config{HealthPath: "/ready", MaxConcurrency: 7}})
	if err != nil || launch.HealthPath != "/ready" || launch.Env["IGNITE_MAX_CONCURRENCY"] != "7" {
		t.Errorf("got %+v, %v", launch, err)
	}
}

// What Python reads when it begins comes too late for a pod that is forked.
func TestEarlyEnvironment(t *testing.T) {
	t.Parallel()
	r := New(t.TempDir())
	for name, forked := range map[string]bool{
		"GREETING": true, "TZ": true, "PYTHONPATH": false, "PYTHONHASHSEED": false, "PYTHONOPTIMIZE": false, "LD_PRELOAD": false, "LANG": false, "LC_ALL": false,
	} {
		launch, err := r.Launch(t.Context(), "/code", store.Version{Config: store.Config{Env: map[string]string{name: "x"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := launch.Template != nil; got != forked {
			t.Errorf("with %s a pod is forked: %v", name, got)
		}
	}
}

func TestWithoutPython(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := New(t.TempDir()).Launch(t.Context(), "/code", store.Version{})
	if err == nil || !strings.Contains(err.Error(), "there is no python3 on this server's PATH") {
		t.Errorf("got the error %v", err)
	}
}

func TestOldPython(t *testing.T) {
	path := t.TempDir()
	script := "#!/bin/sh\necho 'Python 3.9 or newer is needed, and python3 is 2.7' >&2; exit 1\n"
	if err := os.WriteFile(filepath.Join(path, "python3"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path)
	_, err := New(t.TempDir()).Launch(t.Context(), "/code", store.Version{})
	if err == nil || !strings.Contains(err.Error(), "Python 3.9 or newer is needed") {
		t.Errorf("got the error %v", err)
	}
}

func TestRequirementsAreInstalled(t *testing.T) {
	t.Parallel()
	r := New(t.TempDir())
	dir := codeIn(t, map[string]string{
		"handler.py":       "import greeting\ndef handler(payload, ctx): return greeting.TEXT\n",
		"requirements.txt": "--no-index\n./wheels/greeting-1.0-py3-none-any.whl\n",
		"wheels/greeting-1.0-py3-none-any.whl": wheel(t, map[string]string{
			"greeting.py":                     "TEXT = 'hello from a wheel'\n",
			"greeting-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
			"greeting-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
			"greeting-1.0.dist-info/RECORD":   "",
		}),
	})
	var log toolchain.Log
	if err := r.Build(t.Context(), dir, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if !strings.Contains(log.String(), "Successfully installed greeting-1.0") {
		t.Errorf("the log is %q", log.String())
	}
	for _, compiled := range []string{"__pycache__/handler.*.pyc", packages + "/__pycache__/greeting.*.pyc"} {
		if found, err := filepath.Glob(filepath.Join(dir, compiled)); len(found) != 1 {
			t.Errorf("%s: found %v, %v", compiled, found, err)
		}
	}
	if a := plainly.startIn(t, r, dir).post("", nil); a.body != "hello from a wheel" {
		t.Errorf("got %v", a)
	}
}

func wheel(t *testing.T, files map[string]string) string {
	t.Helper()
	var packed bytes.Buffer
	writer := zip.NewWriter(&packed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := writer.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

func TestRequirementsThatCannotBeInstalled(t *testing.T) {
	t.Parallel()
	dir := codeIn(t, map[string]string{"handler.py": "", "requirements.txt": "--no-index\nthere-is-no-such-package\n"})
	var log toolchain.Log
	err := New(t.TempDir()).Build(t.Context(), dir, &log)
	if !errors.Is(err, store.ErrInvalidCode) || !strings.Contains(err.Error(), "No matching distribution found for there-is-no-such-package") {
		t.Errorf("got the error %v", err)
	}
	if !strings.Contains(log.String(), "No matching distribution") {
		t.Errorf("the log is %q", log.String())
	}
}
