// Package procfile runs HTTP servers in any language: an archive whose Procfile says, in its `web:` line, which program
// listens on $PORT. A Go module at the root of the archive is compiled into bin/ first.
package procfile

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/store"
)

const (
	// EntryPoint says how to start, at the root of the archive.
	EntryPoint        = "Procfile"
	goModule          = "go.mod"
	defaultHealthPath = "/healthz"
)

// Runtime runs what a Procfile says.
type Runtime struct{}

// Check wants a Procfile with a web line at the root, and the program that it names.
func (Runtime) Check(files map[string][]byte) error {
	content, ok := files[EntryPoint]
	if !ok {
		return fmt.Errorf("%w: Procfile is missing at the root of the archive", store.ErrInvalidCode)
	}
	web, err := Parse(content)
	if err != nil || (Runtime{}).NeedsBuild(files) {
		return err
	}
	return checkProgram(web, func(name string) bool { _, ok := files[name]; return ok })
}

// NeedsBuild reports whether there is something to compile.
func (Runtime) NeedsBuild(files map[string][]byte) bool {
	_, ok := files[goModule]
	return ok
}

// Launch says how the unpacked code in dir is run.
func (Runtime) Launch(_ context.Context, dir string, v store.Version) (engine.Launch, error) {
	web, err := read(dir)
	if err != nil {
		return engine.Launch{}, err
	}
	return engine.Launch{
		Dir:            dir,
		Command:        command(dir, web),
		HealthPath:     cmp.Or(v.HealthPath, defaultHealthPath),
		HealthOptional: v.HealthPath == "",
	}, nil
}

func read(dir string) (web string, err error) {
	content, err := os.ReadFile(filepath.Join(dir, EntryPoint))
	if err != nil {
		return "", fmt.Errorf("read Procfile: %w", err)
	}
	return Parse(content)
}

// Lines may begin with any process type; ours is "web".
var processType = regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(.*)$`)

// Parse answers the command of the one web line. Empty lines, comments and other process types are passed over.
func Parse(content []byte) (web string, err error) {
	if bytes.IndexByte(content, 0) >= 0 {
		return "", fmt.Errorf("%w: Procfile is not a text file", store.ErrInvalidCode)
	}
	number, found := 0, 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := processType.FindStringSubmatch(line)
		switch {
		case parts == nil:
			return "", fmt.Errorf("%w: Procfile line %d is not of the form `web: command`", store.ErrInvalidCode, number)
		case parts[1] != "web":
			continue
		case found > 0:
			return "", fmt.Errorf("%w: Procfile lines %d and %d both begin with `web:`", store.ErrInvalidCode, found, number)
		case parts[2] == "":
			return "", fmt.Errorf("%w: Procfile line %d has no command after `web:`", store.ErrInvalidCode, number)
		}
		web, found = parts[2], number
	}
	if found == 0 {
		return "", fmt.Errorf("%w: Procfile has no line that begins with `web:`", store.ErrInvalidCode)
	}
	return web, nil
}
