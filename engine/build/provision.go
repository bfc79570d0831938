package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/store"
)

// Provision puts the artifact of v in place, once per hash, and says how to run it. open is called only if it is not in place yet.
// What open gives is believed only if it has the hash.
func (b *Builder) Provision(ctx context.Context, v store.Version, open func() (io.ReadCloser, error)) (engine.Launch, error) {
	launch, err := b.provision(ctx, v, open)
	if err != nil {
		return engine.Launch{}, fmt.Errorf("provision %s version %d: %w", v.AppRef, v.Number, err)
	}
	return launch, nil
}

func (b *Builder) provision(ctx context.Context, v store.Version, open func() (io.ReadCloser, error)) (engine.Launch, error) {
	if v.Code.Kind == store.CodePrebuilt {
		return b.prebuilt(v.Code).Launch(v)
	}
	runtime, err := b.runtimeOf(v.Code)
	if err != nil {
		return engine.Launch{}, err
	}
	if err := checkHash(v.ArtifactHash); err != nil {
		return engine.Launch{}, err
	}
	dir := filepath.Join(b.config.Dir, v.ArtifactHash)
	if err := b.place(ctx, v.ArtifactHash, dir, open); err != nil {
		return engine.Launch{}, err
	}
	return runtime.Launch(ctx, dir, v)
}

// hashOf is an archive's name in the store.
func hashOf(archive []byte) string {
	sum := sha256.Sum256(archive)
	return hex.EncodeToString(sum[:])
}

// checkHash keeps whatever is no hash out of paths.
func checkHash(hash string) error {
	if sum, err := hex.DecodeString(hash); err != nil || len(sum) != sha256.Size || hex.EncodeToString(sum) != hash {
		return fmt.Errorf("artifact hash %q is not a SHA-256 in hex", hash)
	}
	return nil
}

// place returns once dir holds the artifact, whoever unpacks it.
func (b *Builder) place(ctx context.Context, hash, dir string, open func() (io.ReadCloser, error)) error {
	release, err := b.claim(ctx, hash)
	if err != nil {
		return err
	}
	defer release()
	err = markUsed(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	archive, err := b.fetch(hash, open)
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }()
	return b.unpackTo(ctx, archive, dir)
}

// claim waits until nobody else works on hash; release lets the next in.
func (b *Builder) claim(ctx context.Context, hash string) (release func(), err error) {
	for {
		done, free := b.tryClaim(hash)
		if free {
			return func() { b.release(hash, done) }, nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (b *Builder) tryClaim(hash string) (done chan struct{}, free bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if done, taken := b.provisioning[hash]; taken {
		return done, false
	}
	done = make(chan struct{})
	b.provisioning[hash] = done
	return done, true
}

func (b *Builder) release(hash string, done chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.provisioning, hash)
	close(done)
}

// fetch copies what open gives into a file without a name, which goes when it is closed: an archive is read from both ends, and may be large.
func (b *Builder) fetch(hash string, open func() (io.ReadCloser, error)) (*os.File, error) {
	source, err := open()
	if err != nil {
		return nil, fmt.Errorf("open artifact %s: %w", hash, err)
	}
	defer func() { _ = source.Close() }()
	file, err := os.CreateTemp(b.config.Dir, ".artifact-")
	if err != nil {
		return nil, err
	}
	err = errors.Join(os.Remove(file.Name()), copyVerified(file, source, hash))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func copyVerified(to io.Writer, from io.Reader, hash string) error {
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to, sum), from); err != nil {
		return fmt.Errorf("read artifact %s: %w", hash, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != hash {
		return fmt.Errorf("artifact %s is damaged: its bytes have the hash %s", hash, got)
	}
	return nil
}

// unpackTo fills a folder under another name and renames it once it is on disk, so that dir is there whole or not at all, after a
// loss of power too: what is there is never unpacked again.
func (b *Builder) unpackTo(ctx context.Context, file *os.File, dir string) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	staging, err := os.MkdirTemp(b.config.Dir, ".unpack-")
	if err != nil {
		return err
	}
	err = unpack(ctx, archive{file, info.Size()}, staging, b.limits, readOnly)
	if err == nil {
		err = os.Chmod(staging, 0o755)
	}
	if err == nil {
		err = syncFolder(staging)
	}
	if err == nil {
		err = os.Rename(staging, dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(staging))
	}
	return nil
}
