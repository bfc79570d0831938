package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Pack answers the files and folders of dir as a tar.gz. The same content gives the same bytes: entries are sorted, and times, owners and the
// finer permissions are left out.
func Pack(dir string) ([]byte, error) {
	var packed bytes.Buffer
	// Fast compression: an artifact is written once and read few times, and somebody waits for it.
	zipped, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", dir, err)
	}
	writer := tar.NewWriter(zipped)
	err = eachEntry(dir, func(name string, info fs.FileInfo) error { return packEntry(writer, dir, name, info) })
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", dir, err)
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("pack %s: %w", dir, err)
	}
	if err := zipped.Close(); err != nil {
		return nil, fmt.Errorf("pack %s: %w", dir, err)
	}
	return packed.Bytes(), nil
}

// eachEntry calls visit for everything in dir, sorted, with its path in the form that archives use.
func eachEntry(dir string, visit func(name string, info fs.FileInfo) error) error {
	return fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return visit(name, info)
	})
}

func packEntry(writer *tar.Writer, dir, name string, info fs.FileInfo) error {
	header := &tar.Header{Name: name, Mode: 0o644, Size: info.Size(), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)}
	switch {
	case info.IsDir():
		header.Name, header.Mode, header.Size, header.Typeflag = name+"/", 0o755, 0, tar.TypeDir
		return writer.WriteHeader(header)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a folder", name)
	case info.Mode()&0o111 != 0:
		header.Mode = 0o755
	}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = io.Copy(writer, file)
	return err
}

// measure says before it is packed whether what was built can be unpacked again.
func measure(dir string, l limits) error {
	left, count := l.bytes, 0
	return eachEntry(dir, func(_ string, info fs.FileInfo) error {
		count++
		if info.Mode().IsRegular() {
			left -= info.Size()
		}
		switch {
		case left < 0:
			return fmt.Errorf("what was built: %w", l.tooLarge())
		case count > l.files:
			return fmt.Errorf("what was built: %w", l.tooMany())
		}
		return nil
	})
}
