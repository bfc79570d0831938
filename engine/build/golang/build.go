package golang

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/sdk"
)

const (
	// ours is the module that has the SDK, and short the one under whose name it is imported by those who like that better.
	ours  = "dodil.io/ignite"
	short = "ignite"
	// minGo is the version of the language that the SDK is written in.
	minGo = "1.24"

	// workFolder is where everything lies that is not the app's. The go command passes over names that begin with a dot.
	workFolder = ".ignite-build"
	sdkFolder  = workFolder + "/sdk"
	nameFolder = workFolder + "/short"
	outFolder  = workFolder + "/out"
)

// alias is the module short: other names for the same things, so that an app may import either, or both.
const alias = `// Package ignite is ` + ours + `/sdk/go under a shorter name.
package ignite

import sdk "` + ours + `/sdk/go"

type (
	Context = sdk.Context
	Handler = sdk.Handler
)

func Start(handler Handler) { sdk.Start(handler) }
`

// Build compiles the main package at the root of dir and leaves nothing there but the program. The modules that it imports need not be
// in its go.mod, nor need there be one; those of others come from wherever the server's Go gets modules, and the SDK from this server.
func (Runtime) Build(ctx context.Context, dir string, log *toolchain.Log) error {
	if err := toolchain.CheckGoModule(ctx, dir, ours, short); err != nil {
		return err
	}
	if err := writeSDK(dir); err != nil {
		return err
	}
	if err := addSDK(ctx, dir); err != nil {
		return err
	}
	if err := toolchain.Go(ctx, dir, log, "version"); err != nil { // so that whoever reads the log knows
		return fmt.Errorf("compile the function: %w", err)
	}
	// Without debug symbols linking takes half the time; panics still tell their lines. That the output is a folder makes go refuse what is no command.
	if err := toolchain.Go(ctx, dir, log, "build", "-mod=mod", "-ldflags=-s -w", "-o", outFolder+"/", "."); err != nil {
		return fmt.Errorf("compile the function: %w", err)
	}
	return keepProgram(dir)
}

// writeSDK puts both modules beside the app.
func writeSDK(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, workFolder)); err != nil {
		return fmt.Errorf("make room for the SDK: %w", err)
	}
	files := map[string]string{
		sdkFolder + "/go.mod":     "module " + ours + "\n\ngo " + minGo + "\n",
		nameFolder + "/go.mod":    "module " + short + "\n\ngo " + minGo + "\n\nrequire " + ours + " v0.0.0\n",
		nameFolder + "/ignite.go": alias,
	}
	sources, err := fs.Glob(sdk.Go, "go/*.go")
	if err != nil {
		return fmt.Errorf("list the SDK: %w", err)
	}
	for _, name := range sources {
		content, err := sdk.Go.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the SDK: %w", err)
		}
		files[path.Join(sdkFolder, "sdk", name)] = string(content)
	}
	for name, content := range files {
		if err := write(filepath.Join(dir, filepath.FromSlash(name)), content); err != nil {
			return fmt.Errorf("write the SDK: %w", err)
		}
	}
	return nil
}

func write(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(content), 0o644)
}

// addSDK makes the app's module take the SDK from beside it, whatever it says itself.
func addSDK(ctx context.Context, dir string) error {
	var unread toolchain.Log
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		err = toolchain.Go(ctx, dir, &unread, "mod", "init", "app")
	}
	if err != nil {
		return fmt.Errorf("make a Go module of the app: %w", err)
	}
	err = toolchain.Go(ctx, dir, &unread, "mod", "edit",
		"-require="+ours+"@v0.0.0", "-replace="+ours+"=./"+sdkFolder,
		"-require="+short+"@v0.0.0", "-replace="+short+"=./"+nameFolder)
	if err != nil {
		return fmt.Errorf("add the SDK to the app's module: %w", err)
	}
	return nil
}

// keepProgram moves what was built to where Launch looks for it, and removes everything else.
func keepProgram(dir string) error {
	built, err := filepath.Glob(filepath.Join(dir, outFolder, "*"))
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	if len(built) != 1 {
		return fmt.Errorf("find the program: the build left %d files, want 1", len(built))
	}
	if err := removeAll(dir, workFolder); err != nil {
		return fmt.Errorf("remove what is no longer needed: %w", err)
	}
	if err := os.Rename(built[0], filepath.Join(dir, program)); err != nil {
		return fmt.Errorf("keep the program: %w", err)
	}
	return removeAll(dir, program)
}

// removeAll removes everything in dir but one entry.
func removeAll(dir, but string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == but {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
