package build

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"dodil.io/ignite/store"
)

// archive is a tar.gz or zip archive of which nothing is known yet.
type archive struct {
	io.ReaderAt
	size int64
}

func inMemory(content []byte) archive {
	return archive{bytes.NewReader(content), int64(len(content))}
}

// entry is a file or a folder of an archive.
type entry struct {
	// name is a clean path with slashes.
	name string
	// mode has fs.ModeDir or nothing, and 0755 or 0644.
	mode fs.FileMode
}

// visitor is shown every entry, in the archive's order, folders perhaps more than once or not at all. It need not read content; an error
// in reading it is an error for walk to answer.
type visitor func(e entry, content io.Reader) error

// walk shows visit what is in a, until something breaks a rule or a limit: then the error is a store.ErrInvalidCode.
// Everything is decompressed, whether visit reads it or not, so that two walks come to the same end.
func walk(ctx context.Context, a archive, l limits, visit visitor) error {
	head := make([]byte, 512)
	n, err := a.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the archive: %w", err)
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return walkTar(ctx, a, newTally(l, visit))
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return walkZip(ctx, a, newTally(l, visit))
	case len(head) == 0:
		return fmt.Errorf("%w: the archive is empty", store.ErrInvalidCode)
	case n > 262 && string(head[257:262]) == "ustar":
		return fmt.Errorf("%w: the archive is a tar that is not compressed; pack it with tar -czf", store.ErrInvalidCode)
	default:
		return fmt.Errorf("%w: the archive is neither a tar.gz nor a zip", store.ErrInvalidCode)
	}
}

func walkTar(ctx context.Context, a archive, t *tally) error {
	unzipped, err := gzip.NewReader(io.NewSectionReader(a, 0, a.size))
	if err != nil {
		return damaged(err)
	}
	// Headers cost nothing of the limit on files, so they have one of their own.
	stream := t.limitStream(unzipped)
	reader := tar.NewReader(stream)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return damaged(err)
		}
		if err := visitTar(t, header, reader); err != nil {
			return err
		}
	}
	// The checksum comes last: without it, half an archive could pass for a whole one.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return damaged(err)
	}
	return nil
}

func visitTar(t *tally, header *tar.Header, content io.Reader) error {
	switch header.Typeflag {
	case tar.TypeReg:
		return t.file(header.Name, header.Mode&0o111 != 0, content)
	case tar.TypeDir:
		return t.folder(header.Name)
	case tar.TypeXGlobalHeader:
		return nil // A comment, as git archive writes it.
	case tar.TypeSymlink, tar.TypeLink:
		return refuse(header.Name, "is a link; only files and folders are taken")
	default:
		return refuse(header.Name, "is a device, a pipe or something else special; only files and folders are taken")
	}
}

func walkZip(ctx context.Context, a archive, t *tally) error {
	reader, err := zip.NewReader(a, a.size)
	if err != nil {
		return damaged(err)
	}
	for _, file := range reader.File {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := visitZip(t, file); err != nil {
			return err
		}
	}
	return nil
}

func visitZip(t *tally, file *zip.File) error {
	const encrypted = 1
	mode := file.Mode()
	switch {
	case mode&fs.ModeSymlink != 0:
		return refuse(file.Name, "is a link; only files and folders are taken")
	case mode.IsDir():
		return t.folder(file.Name)
	case !mode.IsRegular():
		return refuse(file.Name, "is a device, a pipe or something else special; only files and folders are taken")
	case file.Flags&encrypted != 0:
		return refuse(file.Name, "is encrypted")
	}
	content, err := file.Open()
	if err != nil {
		return damaged(err)
	}
	defer func() { _ = content.Close() }()
	return t.file(file.Name, mode&0o111 != 0, content)
}

// damaged says that an archive cannot be read, unless it is the disk that cannot be.
func damaged(err error) error {
	if _, disk := errors.AsType[*fs.PathError](err); disk || errors.Is(err, store.ErrInvalidCode) {
		return err
	}
	return fmt.Errorf("%w: the archive is damaged: %w", store.ErrInvalidCode, err)
}
