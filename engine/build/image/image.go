// Package image runs what is a container image: one from a registry, or one that is made of an archive with a Dockerfile.
package image

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

const (
	// DefaultDockerfile is where the Dockerfile is in an archive that does not say.
	DefaultDockerfile = "Dockerfile"
	defaultHealthPath = "/healthz"
	// ownDomain is of the names that images made here have on this machine; no registry can have it.
	ownDomain = "ignite.local/"
)

// Engine makes and fetches images on this machine. pod.ErrImage is what it says of an image that is at fault.
type Engine interface {
	// FetchImage pulls an image unless the machine has it; log gets what happens, by lines.
	FetchImage(ctx context.Context, image string, log io.Writer) error
	// BuildImage makes an image from the folder dir unless the machine has it; dockerfile is a path inside dir.
	BuildImage(ctx context.Context, image, dir, dockerfile string, log io.Writer) error
	// RemoveImages removes the images of a repository that were built here and that no pod is made of.
	RemoveImages(ctx context.Context, repository string) error
}

var errNoEngine = fmt.Errorf("%w: this server runs no images: it was started without a Docker engine (IGNITE_DOCKER_HOST)", store.ErrInvalidCode)

// Archive is the runtime of an archive with a Dockerfile.
type Archive struct {
	// Engine is nil where no images are run.
	Engine Engine
	// Dockerfile is a path in the archive.
	Dockerfile string
	// Hash is the archive's.
	Hash string
}

// Check wants an engine and the Dockerfile.
func (a Archive) Check(files map[string][]byte) error {
	if a.Engine == nil {
		return fmt.Errorf("%w; to run as a process the archive needs a Procfile that says how to start, such as `web: bin/server`", errNoEngine)
	}
	if _, ok := files[a.Dockerfile]; !ok {
		return fmt.Errorf("%w: there is no %s in the archive", store.ErrInvalidCode, a.Dockerfile)
	}
	return nil
}

// NeedsBuild is always true: to make the image early shows early what is wrong with it.
func (Archive) NeedsBuild(map[string][]byte) bool { return true }

// Build makes the image on this machine. The code stays as it is: another machine makes the image from it when it starts a pod.
func (a Archive) Build(ctx context.Context, dir string, log *toolchain.Log) error {
	return invalid(a.Engine.BuildImage(ctx, Name(a.Hash, a.Dockerfile), dir, a.Dockerfile, log))
}

// Launch says which image to run, and what it is made of.
func (a Archive) Launch(_ context.Context, dir string, v store.Version) (engine.Launch, error) {
	if a.Engine == nil {
		return engine.Launch{}, errNoEngine
	}
	launch := launchOf(Name(v.ArtifactHash, a.Dockerfile), v)
	launch.Dir, launch.Dockerfile = dir, a.Dockerfile
	return launch, nil
}

// Name is that of the image which is made of an archive. It begins with Repository, for there may be an image for each of its Dockerfiles.
func Name(hash, dockerfile string) string {
	sum := sha256.Sum256([]byte(dockerfile))
	return Repository(hash) + ":" + hex.EncodeToString(sum[:8])
}

// Repository is what the names of all images have in common that are made of an archive.
func Repository(hash string) string { return ownDomain + "app-" + hash }

// Prebuilt is an image from a registry.
type Prebuilt struct {
	// Engine is nil where no images are run.
	Engine Engine
	Ref    string
}

// Check wants an engine, and an image that is not made from the code of another app.
func (p Prebuilt) Check() error {
	if p.Engine == nil {
		return errNoEngine
	}
	if strings.HasPrefix(p.Ref, ownDomain) {
		return fmt.Errorf("%w: image %q: %s is no registry", store.ErrInvalidCode, p.Ref, strings.TrimSuffix(ownDomain, "/"))
	}
	return nil
}

// Fetch gets the image to this machine, which shows early that it cannot be had.
func (p Prebuilt) Fetch(ctx context.Context, log io.Writer) error {
	return invalid(p.Engine.FetchImage(ctx, p.Ref, log))
}

// Launch says which image to run.
func (p Prebuilt) Launch(v store.Version) (engine.Launch, error) {
	if err := p.Check(); err != nil {
		return engine.Launch{}, err
	}
	return launchOf(p.Ref, v), nil
}

func launchOf(image string, v store.Version) engine.Launch {
	return engine.Launch{Image: image, HealthPath: cmp.Or(v.HealthPath, defaultHealthPath), HealthOptional: v.HealthPath == ""}
}

// invalid makes the code's fault of what is the image's.
func invalid(err error) error {
	if errors.Is(err, pod.ErrImage) {
		return fmt.Errorf("%w: %w", store.ErrInvalidCode, err)
	}
	return err
}
