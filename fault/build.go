package fault

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Programs are the real ones, built from this module.
type Programs struct {
	Ignited, NATSServer string
	// App is the pod, packed as an archive to deploy.
	App []byte
	// pod is its program.
	pod []byte
}

// Version packs the pod with a version that it tells.
func (p Programs) Version(name string) ([]byte, error) {
	return pack(map[string][]byte{"pod": p.pod, "version": []byte(name), "Procfile": []byte("web: ./pod\n")})
}

// Broken packs a version that never comes up.
func (p Programs) Broken() ([]byte, error) {
	return pack(map[string][]byte{"pod": p.pod, "Procfile": []byte("web: ./pod broken\n")})
}

// Build puts all programs into dir. ignited can kill itself at a boundary; race adds the race detector to it.
func Build(ctx context.Context, dir string, race bool) (Programs, error) {
	p := Programs{Ignited: filepath.Join(dir, "ignited"), NATSServer: filepath.Join(dir, "nats-server")}
	ignited := []string{"-tags", "faults"}
	if race {
		ignited = append(ignited, "-race")
	}
	pod := filepath.Join(dir, "pod")
	err := errors.Join(
		build(ctx, race, p.Ignited, "dodil.io/ignite/cmd/ignited", ignited...),
		build(ctx, false, p.NATSServer, "github.com/nats-io/nats-server/v2"),
		build(ctx, false, pod, "dodil.io/ignite/fault/pod", "-ldflags=-s -w"),
	)
	if err != nil {
		return Programs{}, err
	}
	if p.pod, err = os.ReadFile(pod); err != nil {
		return Programs{}, err
	}
	p.App, err = pack(map[string][]byte{"pod": p.pod, "Procfile": []byte("web: ./pod\n")})
	return p, err
}

func build(ctx context.Context, race bool, target, program string, flags ...string) error {
	command := exec.CommandContext(ctx, "go", append(append([]string{"build", "-trimpath", "-o", target}, flags...), program)...)
	command.Env = os.Environ()
	if !race { // which needs C
		command.Env = append(command.Env, "CGO_ENABLED=0")
	}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	return nil
}

// pack makes a tar.gz of executable files.
func pack(files map[string][]byte) ([]byte, error) {
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(compressed)
	for name, content := range files {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := archive.Write(content); err != nil {
			return nil, err
		}
	}
	err := errors.Join(archive.Close(), compressed.Close())
	return buffer.Bytes(), err
}
