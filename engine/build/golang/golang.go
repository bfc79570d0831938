// Package golang runs functions written in Go: a main package at the root of the archive that calls ignite.Start with its handler. It is
// compiled into one static program, which is all that a pod gets.
package golang

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"strings"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/store"
)

const (
	// program is the artifact's one file.
	program           = "handler"
	defaultHealthPath = "/healthz"
)

// Runtime runs functions with the Go toolchain on the server's PATH, which only building needs.
type Runtime struct{}

// Check wants Go at the root.
func (Runtime) Check(files map[string][]byte) error {
	for name := range files {
		if path.Dir(name) == "." && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			return nil
		}
	}
	return fmt.Errorf("%w: there is no Go file at the root of the archive", store.ErrInvalidCode)
}

// NeedsBuild reports that there is always something to compile.
func (Runtime) NeedsBuild(map[string][]byte) bool { return true }

// Launch says how the program that was built in dir is run. How many calls it gets at a time is the server's business.
func (Runtime) Launch(_ context.Context, dir string, v store.Version) (engine.Launch, error) {
	return engine.Launch{
		Dir:              dir,
		Command:          []string{"./" + program},
		SocketActivation: true,
		HealthPath:       cmp.Or(v.HealthPath, defaultHealthPath),
	}, nil
}
