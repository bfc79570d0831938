package python

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

// Build installs the requirements beside the code in dir and compiles both, as nothing is compiled once the code is in use.
func (r *Runtime) Build(ctx context.Context, dir string, log *toolchain.Log) error {
	interpreter, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	if err := install(ctx, interpreter, dir, log); err != nil {
		return err
	}
	return compileAll(ctx, interpreter, dir)
}

func install(ctx context.Context, interpreter, dir string, log *toolchain.Log) error {
	err := toolchain.Run(ctx, toolchain.Command{
		Dir: dir,
		Args: []string{interpreter, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-compile",
			"--target", packages, "-r", requirements},
		Settings: []string{"PIP_"},
	}, log)
	if _, exited := errors.AsType[*exec.ExitError](err); !exited {
		return err
	}
	if strings.Contains(log.String(), "No module named pip") {
		return fmt.Errorf("%w: install requirements.txt: this server's Python has no pip", store.ErrInvalidCode)
	}
	return fmt.Errorf("%w: install requirements.txt: %s", store.ErrInvalidCode, log.Summary(isComplaint))
}

func isComplaint(line string) bool {
	return strings.Contains(line, "ERROR") || strings.Contains(line, "error:")
}

// compileAll marks what it compiles as valid whatever the sources' times say: an archive does not keep them.
// Files that do not compile are no error. Packages ship templates and code for other versions of Python, and if the
// handler is among them, its first start says so.
func compileAll(ctx context.Context, interpreter, dir string) error {
	var unread toolchain.Log
	err := toolchain.Run(ctx, toolchain.Command{
		Dir:  dir,
		Args: []string{interpreter, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "."},
	}, &unread)
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return nil
	}
	return err
}
