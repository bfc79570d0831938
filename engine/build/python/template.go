package python

import (
	"slices"
	"strings"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// early is how the variables begin that Python, its libraries and the loader of programs read when they begin, and not again. A pod
// that has one of them is started plainly, as a template has begun long before.
var early = []string{"PYTHON", "LANG", "LC_", "LD_", "GLIBC_", "MALLOC_", "OPENSSL_", "SQLITE_"}

// template is the warm parent of all pods that run with interpreter; nil if v's environment forbids it.
func (r *Runtime) template(interpreter string, env map[string]string, v store.Version) *pod.Template {
	for name := range v.Env {
		if isEarly(name) {
			return nil
		}
	}
	return &pod.Template{Name: interpreter, Command: []string{interpreter, r.compiledTemplate()}, Env: env}
}

func isEarly(name string) bool {
	return slices.ContainsFunc(early, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
