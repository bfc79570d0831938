package build

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/engine/build/image"
	"dodil.io/ignite/engine/build/procfile"
	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

// upload is an archive that brings a server with it. Its Dockerfile wins over its Procfile where images are run.
type upload struct {
	image image.Archive
}

func (b *Builder) upload(code store.Code) upload {
	dockerfile := path.Clean(cmp.Or(code.Dockerfile, image.DefaultDockerfile))
	return upload{image.Archive{Engine: b.config.Images, Dockerfile: dockerfile, Hash: code.Hash}}
}

func (b *Builder) prebuilt(code store.Code) image.Prebuilt {
	return image.Prebuilt{Engine: b.config.Images, Ref: code.ImageRef}
}

// way is the runtime of an archive in which exists finds files.
func (u upload) way(exists func(name string) bool) runtime {
	named := u.image.Dockerfile != image.DefaultDockerfile
	switch {
	case u.image.Engine != nil && (named || exists(u.image.Dockerfile)):
		return u.image
	case !exists(procfile.EntryPoint) && (named || exists(u.image.Dockerfile)):
		return u.image // which says why it cannot be run
	}
	return procfile.Runtime{}
}

func (u upload) wayOf(files map[string][]byte) runtime {
	return u.way(func(name string) bool { _, ok := files[name]; return ok })
}

func (u upload) wayIn(dir string) runtime {
	return u.way(func(name string) bool {
		if !fs.ValidPath(name) {
			return false
		}
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		return err == nil && info.Mode().IsRegular()
	})
}

func (u upload) Check(files map[string][]byte) error { return u.wayOf(files).Check(files) }

func (u upload) NeedsBuild(files map[string][]byte) bool { return u.wayOf(files).NeedsBuild(files) }

func (u upload) Build(ctx context.Context, dir string, log *toolchain.Log) error {
	return u.wayIn(dir).Build(ctx, dir, log)
}

func (u upload) Launch(ctx context.Context, dir string, v store.Version) (engine.Launch, error) {
	return u.wayIn(dir).Launch(ctx, dir, v)
}

// isImage reports whether what was built in dir is an image. Then the archive itself stays what is provisioned: an image is made from
// it wherever it is missing.
func isImage(r runtime, dir string) bool {
	u, ok := r.(upload)
	if !ok {
		return false
	}
	_, ok = u.wayIn(dir).(image.Archive)
	return ok
}
