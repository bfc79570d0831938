package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dodil.io/ignite/engine/build/image"
)

// removeLimit bounds the removal of one artifact's images: whoever wants to start it waits meanwhile.
const removeLimit = 30 * time.Second

// RemoveIdle takes away the artifacts that are in place and were not used since before, unless keep wants them, and answers how many. What keep wants
// counts as used now, so that it is idle from when it is not wanted any more. keep is asked when nobody can be putting the artifact in place:
// whoever says there that it is wanted before it calls Provision has it afterwards. What cannot be removed does not keep the others.
func (b *Builder) RemoveIdle(ctx context.Context, before time.Time, keep func(hash string) bool) (removed int, err error) {
	entries, err := os.ReadDir(b.config.Dir)
	if err != nil {
		return 0, fmt.Errorf("remove idle code: %w", err)
	}
	var faults []error
	for _, entry := range entries {
		if ctx.Err() != nil {
			faults = append(faults, context.Cause(ctx))
			break
		}
		if checkHash(entry.Name()) != nil {
			continue
		}
		gone, err := b.removeIdle(ctx, entry.Name(), before, keep)
		if err != nil {
			faults = append(faults, fmt.Errorf("remove idle code %s: %w", entry.Name(), err))
		}
		if gone {
			removed++
		}
	}
	return removed, errors.Join(faults...)
}

// removeIdle moves an artifact out of the way and removes it then. What a crash leaves of it goes at the next start, as its new name begins with a dot.
func (b *Builder) removeIdle(ctx context.Context, hash string, before time.Time, keep func(hash string) bool) (gone bool, err error) {
	aside, err := b.putAside(ctx, hash, before, keep)
	if aside == "" || err != nil {
		return false, err
	}
	return true, os.RemoveAll(aside)
}

// removeImages removes what was made of an artifact, while nobody can be putting that in place: who did would find an image, and lose it before its
// pod is made of it.
func (b *Builder) removeImages(ctx context.Context, hash string) error {
	if b.config.Images == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	return b.config.Images.RemoveImages(ctx, image.Repository(hash))
}

// putAside answers where an idle artifact is now, without its images, or nothing if it is not idle or somebody works on it.
func (b *Builder) putAside(ctx context.Context, hash string, before time.Time, keep func(hash string) bool) (aside string, err error) {
	done, free := b.tryClaim(hash)
	if !free {
		return "", nil
	}
	defer b.release(hash, done)
	dir := filepath.Join(b.config.Dir, hash)
	if keep(hash) {
		return "", markUsed(dir)
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil || !info.ModTime().Before(before) {
		return "", err
	}
	if err := b.removeImages(ctx, hash); err != nil {
		return "", err
	}
	aside, err = os.MkdirTemp(b.config.Dir, ".idle-")
	if err != nil {
		return "", err
	}
	if err := os.Rename(dir, filepath.Join(aside, hash)); err != nil {
		return "", errors.Join(err, os.Remove(aside))
	}
	return aside, nil
}

// markUsed notes on an artifact's folder that it is used now; fs.ErrNotExist says that it is not in place.
func markUsed(dir string) error {
	now := time.Now()
	return os.Chtimes(dir, now, now)
}
