package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dodil.io/ignite/engine/build/image"
	"dodil.io/ignite/engine/build/python"
	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

// Config says where a Builder works and how much it lets an archive do. The zero value of every field but Dir works.
type Config struct {
	// Dir is where code is unpacked. No other process may use it.
	Dir string
	// MaxUnpackedBytes bounds the files of one archive together; 0 means 1 GiB.
	MaxUnpackedBytes int64
	// MaxFiles bounds the files and folders of one archive; 0 means 50,000.
	MaxFiles int
	// Timeout bounds one build; 0 means 10 minutes.
	Timeout time.Duration
	// MaxBuilds bounds the builds that run at a time; 0 means 2.
	MaxBuilds int
	// Images makes and fetches container images; nil runs none.
	Images image.Engine
}

// Validate reports every fault of c at once.
func (c Config) Validate() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("empty Dir"))
	}
	if c.MaxUnpackedBytes < 0 {
		faults = append(faults, fmt.Errorf("negative MaxUnpackedBytes: %d", c.MaxUnpackedBytes))
	}
	if c.MaxFiles < 0 {
		faults = append(faults, fmt.Errorf("negative MaxFiles: %d", c.MaxFiles))
	}
	if c.Timeout < 0 {
		faults = append(faults, fmt.Errorf("negative Timeout: %s", c.Timeout))
	}
	if c.MaxBuilds < 0 {
		faults = append(faults, fmt.Errorf("negative MaxBuilds: %d", c.MaxBuilds))
	}
	return errors.Join(faults...)
}

func (c Config) withDefaults() Config {
	c.MaxUnpackedBytes = cmp.Or(c.MaxUnpackedBytes, 1<<30)
	c.MaxFiles = cmp.Or(c.MaxFiles, 50_000)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Minute)
	c.MaxBuilds = cmp.Or(c.MaxBuilds, 2)
	return c
}

// Builder checks, builds and provisions code. There is nothing to close.
type Builder struct {
	config Config
	limits limits
	python *python.Runtime
	builds chan struct{}

	mu sync.Mutex
	// provisioning holds, for every hash that is being unpacked, a channel that is closed when that ends.
	provisioning map[string]chan struct{}
}

// Open makes Dir if it is missing and removes from it what an earlier process left half done.
func Open(c Config) (*Builder, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("open the builder: %w", err)
	}
	c = c.withDefaults()
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the builder: %w", err)
	}
	c.Dir = dir
	if err := clean(dir); err != nil {
		return nil, fmt.Errorf("open the builder: %w", err)
	}
	return &Builder{
		config:       c,
		limits:       limits{bytes: c.MaxUnpackedBytes, files: c.MaxFiles},
		python:       python.New(filepath.Join(dir, ".python")),
		builds:       make(chan struct{}, c.MaxBuilds),
		provisioning: map[string]chan struct{}{},
	}, nil
}

// clean removes what has a name that begins with a dot: half unpacked code, builds, and the launcher, which is written anew.
func clean(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Check looks at an archive without building it or writing anything. store.ErrInvalidCode says what is wrong with it.
func (b *Builder) Check(code store.Code, archive []byte) error {
	_, err := b.check(context.Background(), code, archive)
	return err
}

// NeedsBuild reports whether code can be run only once it was built. store.ErrInvalidCode says that it never can.
func (b *Builder) NeedsBuild(ctx context.Context, code store.Code, archive []byte) (bool, error) {
	return b.check(ctx, code, archive)
}

// check answers whether there is something to build, too.
func (b *Builder) check(ctx context.Context, code store.Code, archive []byte) (build bool, err error) {
	if code.Kind == store.CodePrebuilt {
		return true, b.prebuilt(code).Check()
	}
	runtime, err := b.runtimeOf(code)
	if err != nil {
		return false, err
	}
	files, err := list(ctx, inMemory(archive), b.limits)
	if err != nil {
		return false, err
	}
	if err := runtime.Check(files); err != nil {
		return false, explain(err, files)
	}
	return runtime.NeedsBuild(files), nil
}

// Build answers the archive of what a pod runs, and what the compiler printed also when it fails; lines gets each line as it comes. An artifact of nil means that
// the archive itself is run. store.ErrInvalidCode says that the code does not build.
func (b *Builder) Build(ctx context.Context, code store.Code, archive []byte, lines io.Writer) (artifact []byte, log string, err error) {
	needed, err := b.check(ctx, code, archive)
	if err != nil || !needed {
		return nil, "", err
	}
	select {
	case b.builds <- struct{}{}:
		defer func() { <-b.builds }()
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	}
	printed := toolchain.Log{Lines: lines}
	artifact, err = b.build(ctx, code, archive, &printed)
	return artifact, printed.String(), err
}

func (b *Builder) build(ctx context.Context, code store.Code, archive []byte, log *toolchain.Log) ([]byte, error) {
	tooLong := fmt.Errorf("%w: the build took longer than %s", store.ErrInvalidCode, b.config.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, b.config.Timeout, tooLong)
	defer cancel()
	if code.Kind == store.CodePrebuilt {
		return nil, b.prebuilt(code).Fetch(ctx, log)
	}
	code.Hash = hashOf(archive)
	runtime, err := b.runtimeOf(code)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.config.Dir, ".build-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // What cannot be removed goes at the next start.
	if err := unpack(ctx, inMemory(archive), dir, b.limits, writable); err != nil {
		return nil, err
	}
	if err := runtime.Build(ctx, dir, log); err != nil {
		return nil, err
	}
	if isImage(runtime, dir) {
		return nil, nil
	}
	if err := measure(dir, b.limits); err != nil {
		return nil, err
	}
	return Pack(dir)
}
