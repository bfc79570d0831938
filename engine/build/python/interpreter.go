package python

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

//go:embed launcher.py template.py
var programs embed.FS

// preparation compiles our programs, which saves every cold start some milliseconds, and says where the interpreter really is:
// a python3 on PATH may be a script that looks for one, and looks a long time.
const preparation = `
import py_compile, sys
if sys.version_info < (3, 9):
    sys.exit("Python 3.9 or newer is needed, and python3 is " + sys.version.split()[0])
for source in sys.argv[1:]:
    py_compile.compile(source, source + "c", doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
print(sys.executable)
`

func (r *Runtime) compiledLauncher() string { return filepath.Join(r.dir, "launcher.pyc") }

func (r *Runtime) compiledTemplate() string { return filepath.Join(r.dir, "template.pyc") }

// prepare answers the interpreter and puts our programs in place, once for the life of the Runtime if it succeeds.
func (r *Runtime) prepare(ctx context.Context) (interpreter string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interpreter != "" {
		return r.interpreter, nil
	}
	sources, err := r.write()
	if err != nil {
		return "", fmt.Errorf("write the Python programs: %w", err)
	}
	interpreter, err = r.compile(ctx, sources)
	if err != nil {
		return "", fmt.Errorf("prepare Python: %w", err)
	}
	r.interpreter = interpreter
	return interpreter, nil
}

// write answers where the programs are.
func (r *Runtime) write() (sources []string, err error) {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	entries, err := programs.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		program, err := programs.ReadFile(entry.Name())
		if err != nil {
			return nil, err
		}
		source := filepath.Join(r.dir, entry.Name())
		if err := os.WriteFile(source, program, 0o644); err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	return sources, nil
}

func (r *Runtime) compile(ctx context.Context, sources []string) (interpreter string, err error) {
	var log toolchain.Log
	err = toolchain.Run(ctx, toolchain.Command{
		Dir:      r.dir,
		Args:     slices.Concat([]string{"python3", "-c", preparation}, sources),
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
