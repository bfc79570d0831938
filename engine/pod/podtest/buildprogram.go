package podtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// BuildProgram puts a binary that calls RunProgram at path. It needs nothing of the machine that it runs on, so that an image may hold it
// alone.
func BuildProgram(ctx context.Context, path string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "dodil.io/ignite/engine/pod/podtest/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build podtest's program: %w\n%s", err, output)
	}
	return nil
}
