package procfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"dodil.io/ignite/engine/build/toolchain"
)

// Build compiles the Go module in dir, every command of it into bin/.
func (Runtime) Build(ctx context.Context, dir string, log *toolchain.Log) error {
	if err := toolchain.CheckGoModule(ctx, dir); err != nil {
		return err
	}
	// Without debug symbols linking takes half the time; panics still tell their lines.
	if err := toolchain.Go(ctx, dir, log, "build", "-ldflags=-s -w", "-o", "bin/", "./..."); err != nil {
		return fmt.Errorf("compile the Go module: %w", err)
	}
	return checkBuilt(dir)
}

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
