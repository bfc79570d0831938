package toolchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"dodil.io/ignite/store"
)

// maxGoMod bounds the go.mod of an app.
const maxGoMod = 1 << 20

// goSettings say where modules come from, and where what was compiled before is kept. How to compile is not the server's business, but
// the same everywhere.
var goSettings = []string{
	"GOROOT", "GOPATH", "GOCACHE", "GOMODCACHE", "GOTMPDIR", "GOENV",
	"GOPROXY", "GOPRIVATE", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOINSECURE", "GOVCS", "GOAUTH",
}

// goEnv replaces whatever flags the server's user has set. No version control stamp: the code may lie inside a repository
// that has nothing to do with the app.
var goEnv = []string{"CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-trimpath -buildvcs=false"}

// Go runs the go command on the PATH over the code in dir. The same code gives the same bytes, wherever it is built. That there is no go
// command, and that it refuses the code, are store.ErrInvalidCode.
func Go(ctx context.Context, dir string, log *Log, args ...string) error {
	return runGo(ctx, dir, nil, log, args)
}

func runGo(ctx context.Context, dir string, stdout io.Writer, log *Log, args []string) error {
	err := Run(ctx, Command{
		Dir:      dir,
		Args:     append([]string{"go"}, args...),
		Settings: goSettings,
		Env:      goEnv,
		Stdout:   stdout,
	}, log)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: there is no Go toolchain on this server's PATH", store.ErrInvalidCode)
	}
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return fmt.Errorf("%w: go %s: %s", store.ErrInvalidCode, args[0], log.Summary(isGoComplaint))
	}
	return err
}

// isGoComplaint passes over what the go command says when all is well.
func isGoComplaint(line string) bool {
	for _, news := range []string{"go version ", "go: downloading ", "go: finding ", "go: found ", "go: added ", "# "} {
		if strings.HasPrefix(line, news) {
			return false
		}
	}
	return true
}

// CheckGoModule refuses a go.mod in dir that takes packages from a folder outside of dir: what the server's user can read is not the
// app's to compile. The modules named own may be replaced by anything, if all their versions are: that is about to be overwritten.
func CheckGoModule(ctx context.Context, dir string, own ...string) error {
	info, err := os.Stat(filepath.Join(dir, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at go.mod: %w", err)
	}
	if info.Size() > maxGoMod {
		return fmt.Errorf("%w: go.mod is larger than the limit of %d bytes", store.ErrInvalidCode, maxGoMod)
	}
	replacements, err := goReplacements(ctx, dir)
	if err != nil {
		return err
	}
	for _, r := range replacements {
		overwritten := r.Old.Version == "" && slices.Contains(own, r.Old.Path)
		if r.outside() && !overwritten {
			return fmt.Errorf("%w: go.mod replaces %s by %s, which is not in the archive", store.ErrInvalidCode, r.Old.Path, r.New.Path)
		}
	}
	return nil
}

// goReplacement is a replace directive; one without a new version names a folder.
type goReplacement struct {
	Old, New struct{ Path, Version string }
}

func (r goReplacement) outside() bool {
	return r.New.Version == "" && !filepath.IsLocal(filepath.FromSlash(r.New.Path))
}

func goReplacements(ctx context.Context, dir string) ([]goReplacement, error) {
	var printed bytes.Buffer
	var complaints Log
	if err := runGo(ctx, dir, &printed, &complaints, []string{"mod", "edit", "-json"}); err != nil {
		return nil, err
	}
	var module struct{ Replace []goReplacement }
	if err := json.Unmarshal(printed.Bytes(), &module); err != nil {
		return nil, fmt.Errorf("read what `go mod edit -json` prints: %w", err)
	}
	return module.Replace, nil
}
