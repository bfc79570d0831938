package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
)

// maxArchive is the largest archive that can be sent: a message less what the request adds to it.
const maxArchive = maxMessage - 1<<20

// errArchiveTooLarge is an archive that could not be sent.
var errArchiveTooLarge = fmt.Errorf(
	"the archive is larger than %s, the most that can be uploaded", bytesText(maxArchive))

// skippedFolders are never part of an app: they are made from it, or about it.
var skippedFolders = map[string]bool{
	".git": true, "node_modules": true, "__pycache__": true, "target": true, ".venv": true,
}

// packFolder makes a tar.gz of the files below dir. The same files give the same bytes, whatever their times and owners,
// so that the server knows an archive again by its hash. Links and devices are left out and reported to skipped.
func packFolder(dir string, limit int, skipped func(name, reason string)) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // opened for reading only
	packer := newPacker(root.FS(), limit)
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return packer.visit(name, entry, skipped)
	})
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", dir, err)
	}
	return packer.finish(dir)
}

// packer writes regular files to an archive in memory.
type packer struct {
	files   fs.FS
	content *boundedBuffer
	zip     *gzip.Writer
	archive *tar.Writer
	packed  int
}

func newPacker(files fs.FS, limit int) *packer {
	content := &boundedBuffer{limit: limit}
	zip := gzip.NewWriter(content)
	return &packer{files: files, content: content, zip: zip, archive: tar.NewWriter(zip)}
}

func (p *packer) visit(name string, entry fs.DirEntry, skipped func(name, reason string)) error {
	switch kind := entry.Type(); {
	case skippedFolders[path.Base(name)] && kind.IsDir():
		return fs.SkipDir
	case path.Base(name) == ".git", kind.IsDir(): // in a worktree or a submodule .git is a file
		return nil
	case kind&fs.ModeSymlink != 0:
		skipped(name, "it is a symbolic link")
		return nil
	case !kind.IsRegular():
		skipped(name, "it is no regular file")
		return nil
	}
	return p.add(name)
}

func (p *packer) add(name string) error {
	file, err := p.files.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // opened for reading only
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: archiveMode(info), ModTime: time.Unix(0, 0),
	}
	if err := p.archive.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.CopyN(p.archive, file, info.Size()); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	p.packed++
	return nil
}

// archiveMode keeps whether a file can be executed; the rest depends on the packer's machine.
func archiveMode(info fs.FileInfo) int64 {
	if info.Mode()&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func (p *packer) finish(dir string) ([]byte, error) {
	if p.packed == 0 {
		return nil, usagef("%s holds no files to deploy", dir)
	}
	if err := errors.Join(p.archive.Close(), p.zip.Close()); err != nil {
		return nil, fmt.Errorf("pack %s: %w", dir, err)
	}
	return p.content.Bytes(), nil
}

// boundedBuffer refuses to hold more than limit bytes.
type boundedBuffer struct {
	bytes.Buffer
	limit int
}

func (b *boundedBuffer) Write(data []byte) (int, error) {
	if b.Len()+len(data) > b.limit {
		return 0, errArchiveTooLarge
	}
	return b.Buffer.Write(data)
}
