package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// runtimes are what --runtime takes. "procfile" is an HTTP server of the user's own; the others are managed.
var runtimes = []string{"python", "go", "deno", "rust", "procfile"}

const runtimeHelp = "`RUNTIME`: python, go, deno, rust, or procfile for an HTTP server with a Procfile or Dockerfile " +
	"(default what the code looks like)"

// readArchive reads the code at path: a folder, which is packed, an archive, or a single file, which is packed alone.
func (c *client) readArchive(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, usagef("read the code: %w", err)
	}
	skipped := func(file, reason string) {
		c.tell("Warning: %s is left out: %s", file, reason)
	}
	if info.IsDir() {
		return packFolder(name, maxArchive, skipped)
	}
	if info.Size() > maxArchive {
		return nil, fmt.Errorf("read %s: %w", name, errArchiveTooLarge)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the code: %w", err)
	}
	if isGzip(content) || isZip(content) {
		return content, nil
	}
	single := newPacker(os.DirFS(filepath.Dir(name)), maxArchive)
	if err := single.add(filepath.Base(name)); err != nil {
		return nil, fmt.Errorf("pack %s: %w", name, err)
	}
	return single.finish(name)
}

func isGzip(content []byte) bool { return bytes.HasPrefix(content, []byte{0x1f, 0x8b}) }
func isZip(content []byte) bool  { return bytes.HasPrefix(content, []byte("PK\x03\x04")) }

// codeSource wraps an archive for the runtime, which is derived from the archive if it is empty.
func codeSource(archive []byte, runtime string) (*ignitev1.CodeSource, error) {
	if runtime == "" {
		var err error
		if runtime, err = deriveRuntime(archive); err != nil {
			return nil, err
		}
	}
	if runtime == "procfile" {
		image := &ignitev1.ImageSource{Source: &ignitev1.ImageSource_FromCode{
			FromCode: &ignitev1.CodeArchive{SourceCode: archive},
		}}
		return imageSource(image), nil
	}
	managed, err := managedRuntime(runtime)
	if err != nil {
		return nil, err
	}
	compile := &ignitev1.CompileSource{Runtime: managed, SourceCode: archive}
	return &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Compile{Compile: compile}}, nil
}

func managedRuntime(name string) (*ignitev1.Runtime, error) {
	switch name {
	case "python":
		return &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Python{Python: &ignitev1.PythonRuntime{}}}, nil
	case "go":
		return &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Go{Go: &ignitev1.GoRuntime{}}}, nil
	case "deno":
		return &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Deno{Deno: &ignitev1.DenoRuntime{}}}, nil
	case "rust":
		return &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Rust{Rust: &ignitev1.RustRuntime{}}}, nil
	}
	return nil, usagef("--runtime %q is none of %s", name, strings.Join(runtimes, ", "))
}

// deriveRuntime tells the runtime from the files at the archive's root.
func deriveRuntime(archive []byte) (string, error) {
	names, err := rootFiles(archive)
	if err != nil {
		return "", err
	}
	python, procfile := names["handler.py"], names["Procfile"]
	switch {
	case python && procfile:
		return "", usagef("the source has both handler.py and Procfile: say which counts with --runtime python or procfile")
	case python:
		return "python", nil
	case procfile, names["Dockerfile"]:
		return "procfile", nil
	case names["main.go"]:
		return "go", nil
	}
	return "", usagef("the source has neither handler.py, Procfile, Dockerfile nor main.go at its root: say what it is with --runtime")
}

// rootFiles are the names of the files at the root of an archive.
func rootFiles(archive []byte) (map[string]bool, error) {
	names := make(map[string]bool)
	note := func(name string) {
		if name = path.Clean(name); !strings.Contains(name, "/") {
			names[name] = true
		}
	}
	if isZip(archive) {
		return names, eachZipFile(archive, note)
	}
	return names, eachTarFile(archive, note)
}

func eachZipFile(archive []byte, note func(name string)) error {
	reader, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return usagef("read the zip archive: %w", err)
	}
	for _, file := range reader.File {
		if file.Mode().IsRegular() {
			note(file.Name)
		}
	}
	return nil
}

func eachTarFile(archive []byte, note func(name string)) error {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return usagef("read the tar.gz archive: %w", err)
	}
	files := tar.NewReader(unzipped)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return usagef("read the tar.gz archive: %w", err)
		}
		if header.Typeflag == tar.TypeReg {
			note(header.Name)
		}
	}
}

// bytesText is a size for people.
func bytesText(n int) string {
	const unit = 1024
	switch {
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%.1f KiB", float64(n)/unit)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(unit*unit))
}
