// Package python runs functions written in Python: a launcher of ours serves HTTP and calls handler(payload, ctx) of the app's handler.py.
package python

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/store"
)

const (
	entryPoint   = "handler.py"
	requirements = "requirements.txt"
	// packages is where the launcher looks for the app's requirements.
	packages = ".ignite-packages"

	defaultHealthPath     = "/healthz"
	defaultMaxConcurrency = 80
)

// Runtime runs functions with the python3 on the server's PATH. Its methods may be called concurrently.
type Runtime struct {
	dir string

	mu          sync.Mutex
	interpreter string
}

// New makes a Runtime that keeps its launcher in dir, which it makes when it is needed.
func New(dir string) *Runtime { return &Runtime{dir: dir} }

// Check wants handler.py at the root.
func (r *Runtime) Check(files map[string][]byte) error {
	if _, ok := files[entryPoint]; !ok {
		return fmt.Errorf("%w: %s is missing at the root of the archive", store.ErrInvalidCode, entryPoint)
	}
	return nil
}

// NeedsBuild reports whether there is something to install.
func (r *Runtime) NeedsBuild(files map[string][]byte) bool {
	_, ok := files[requirements]
	return ok
}

// Launch says how the unpacked code in dir is run.
func (r *Runtime) Launch(ctx context.Context, dir string, v store.Version) (engine.Launch, error) {
	interpreter, err := r.prepare(ctx)
	if err != nil {
		return engine.Launch{}, err
	}
	env := map[string]string{
		"PYTHONUNBUFFERED": "1",
		// Pods of a version share dir, and what they run must stay what was published.
		"PYTHONDONTWRITEBYTECODE": "1",
	}
	template := r.template(interpreter, maps.Clone(env), v)
	env["IGNITE_MAX_CONCURRENCY"] = strconv.FormatUint(uint64(cmp.Or(v.MaxConcurrency, defaultMaxConcurrency)), 10)
	return engine.Launch{
		Dir:              dir,
		Command:          []string{interpreter, r.compiledLauncher()},
		ReadOnly:         []string{r.dir},
		Env:              env,
		SocketActivation: true,
		HealthPath:       cmp.Or(v.HealthPath, defaultHealthPath),
		Template:         template,
	}, nil
}
