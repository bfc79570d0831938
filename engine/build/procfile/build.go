package procfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

// goSettings say where modules come from, and where what was compiled before is kept. How to compile is not the server's business, but
// the same everywhere.
var goSettings = []string{
	"GOROOT", "GOPATH", "GOCACHE", "GOMODCACHE", "GOTMPDIR", "GOENV",
	"GOPROXY", "GOPRIVATE", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOINSECURE", "GOVCS", "GOAUTH",
}

// Build compiles the Go module in dir, every command of it into bin/. The same code gives the same bytes, wherever it is built.
func (Runtime) Build(ctx context.Context, dir string, log *toolchain.Log) error {
	err := toolchain.Run(ctx, toolchain.Command{
		Dir: dir,
		// Without debug symbols linking takes half the time; panics still tell their lines.
		Args:     []string{"go", "build", "-ldflags=-s -w", "-o", "bin/", "./..."},
		Settings: goSettings,
		// GOFLAGS also replaces whatever flags the server's user has set. No version control stamp: dir may lie inside a repository
		// that has nothing to do with the app.
		Env: []string{"CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-trimpath -buildvcs=false"},
	}, log)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: compile the Go module: there is no Go toolchain on this server's PATH", store.ErrInvalidCode)
	}
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return fmt.Errorf("%w: go build: %s", store.ErrInvalidCode, log.Summary(notDownload))
	}
	if err != nil {
		return err
	}
	return checkBuilt(dir)
}

func notDownload(line string) bool { return !strings.HasPrefix(line, "go: downloading ") }

func checkBuilt(dir string) error {
	web, err := read(dir)
	if err != nil {
		return err
	}
	return checkProgram(web, func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular()
	})
}
