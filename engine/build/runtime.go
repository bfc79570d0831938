package build

import (
	"context"
	"fmt"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/engine/build/golang"
	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

// runtime is one way from code to a pod.
type runtime interface {
	// Check looks at the files of an archive, given by their paths; only Procfile comes with its content.
	Check(files map[string][]byte) error
	// NeedsBuild reports whether Build has something to do for files.
	NeedsBuild(files map[string][]byte) bool
	// Build changes the unpacked code in dir into what a pod runs.
	Build(ctx context.Context, dir string, log *toolchain.Log) error
	// Launch says how what was unpacked or built in dir is run.
	Launch(ctx context.Context, dir string, v store.Version) (engine.Launch, error)
}

func (b *Builder) runtimeOf(code store.Code) (runtime, error) {
	switch code.Kind {
	case store.CodeSDK:
		switch code.Runtime {
		case "python":
			return b.python, nil
		case "go":
			return golang.Runtime{}, nil
		}
		return nil, unsupported(fmt.Sprintf("the managed runtime %q", code.Runtime))
	case store.CodeUploadImage:
		return b.upload(code), nil
	case store.CodeGitImage:
		return nil, unsupported("building from a Git repository")
	default:
		return nil, unsupported(fmt.Sprintf("code of the kind %q", code.Kind))
	}
}

func unsupported(what string) error {
	return fmt.Errorf("%w: not supported on this server yet: %s", store.ErrInvalidCode, what)
}
