package python

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

//go:embed launcher.py
var launcher []byte

// preparation compiles the launcher, which saves every cold start some milliseconds, and says where the interpreter really is:
// a python3 on PATH may be a script that looks for one, and looks a long time.
const preparation = `
import py_compile, sys
if sys.version_info < (3, 9):
    sys.exit("Python 3.9 or newer is needed, and python3 is " + sys.version.split()[0])
py_compile.compile(sys.argv[1], sys.argv[2], doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
print(sys.executable)
`

func (r *Runtime) launcherPath() string { return filepath.Join(r.dir, "launcher.py") }

func (r *Runtime) compiledPath() string { return filepath.Join(r.dir, "launcher.pyc") }

// prepare answers the interpreter and puts the launcher in place, once for the life of the Runtime if it succeeds.
func (r *Runtime) prepare(ctx context.Context) (interpreter string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interpreter != "" {
		return r.interpreter, nil
	}
	if err := r.writeLauncher(); err != nil {
		return "", err
	}
	interpreter, err = r.compileLauncher(ctx)
	if err != nil {
		return "", fmt.Errorf("prepare Python: %w", err)
	}
	r.interpreter = interpreter
	return interpreter, nil
}

func (r *Runtime) writeLauncher() error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the Python launcher: %w", err)
	}
	if err := os.WriteFile(r.launcherPath(), launcher, 0o644); err != nil {
		return fmt.Errorf("write the Python launcher: %w", err)
	}
	return nil
}

func (r *Runtime) compileLauncher(ctx context.Context) (interpreter string, err error) {
	var log toolchain.Log
	err = toolchain.Run(ctx, toolchain.Command{
		Dir:      r.dir,
		Args:     []string{"python3", "-c", preparation, r.launcherPath(), r.compiledPath()},
		Settings: []string{"PYENV_"},
	}, &log)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("%w: there is no python3 on this server's PATH", store.ErrInvalidCode)
	case err != nil && log.String() != "":
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(log.String()))
	case err != nil:
		return "", err
	}
	return strings.TrimSpace(log.String()), nil
}
