package docker

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	spec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"dodil.io/ignite/engine/pod"
)

// buildMemory bounds each step of a build, without swap.
const buildMemory = 2 << 30

// imageFor answers how the image of s wants to be run. One that the machine does not have is built from s.Dir if that is set, and else pulled.
func (d *Driver) imageFor(ctx context.Context, s pod.Spec) (spec.DockerOCIImageConfig, error) {
	if s.Dir != "" {
		if _, err := os.Stat(s.Dir); err != nil {
			return spec.DockerOCIImageConfig{}, fmt.Errorf("code folder: %w", err)
		}
	}
	ref, err := normal(s.Image)
	if err != nil {
		return spec.DockerOCIImageConfig{}, err
	}
	config, err := d.inspectImage(ctx, ref)
	if !errdefs.IsNotFound(err) {
		return config, err
	}
	if s.Dir != "" {
		err = d.BuildImage(ctx, s.Image, s.Dir, s.Dockerfile, io.Discard)
	} else {
		err = d.FetchImage(ctx, s.Image, io.Discard)
	}
	if err != nil {
		return spec.DockerOCIImageConfig{}, err
	}
	return d.inspectImage(ctx, ref)
}

func (d *Driver) inspectImage(ctx context.Context, ref string) (spec.DockerOCIImageConfig, error) {
	found, err := d.api.ImageInspect(ctx, ref)
	if err != nil {
		return spec.DockerOCIImageConfig{}, fmt.Errorf("look at image %s: %w", ref, err)
	}
	if found.Config == nil {
		return spec.DockerOCIImageConfig{}, nil
	}
	return *found.Config, nil
}

// normal answers ref with its registry and tag. What it refuses cannot become part of a request's path.
func normal(ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", fmt.Errorf("%w: image %q: %w", pod.ErrImage, ref, err)
	}
	return reference.TagNameOnly(named).String(), nil
}

// FetchImage pulls an image unless the machine has it; log gets a line for each thing that happens. pod.ErrImage says that it cannot be had.
func (d *Driver) FetchImage(ctx context.Context, image string, log io.Writer) error {
	ref, err := normal(image)
	if err != nil {
		return err
	}
	release, err := d.images.claim(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	if _, err := d.inspectImage(ctx, ref); !errdefs.IsNotFound(err) {
		return err
	}
	pulling, err := d.api.ImagePull(ctx, ref, client.ImagePullOptions{})
	if err != nil {
		return imageError(ctx, "pull image "+image, err)
	}
	defer func() { _ = pulling.Close() }()
	if err := follow(pulling, log); err != nil {
		return imageError(ctx, "pull image "+image, err)
	}
	return nil
}

// BuildImage makes image from the folder dir unless the machine has it. dockerfile is a path inside dir, empty for Dockerfile; log gets what the
// build prints. pod.ErrImage says that it does not build.
func (d *Driver) BuildImage(ctx context.Context, image, dir, dockerfile string, log io.Writer) error {
	ref, err := normal(image)
	if err != nil {
		return err
	}
	release, err := d.images.claim(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	if _, err := d.inspectImage(ctx, ref); !errdefs.IsNotFound(err) {
		return err
	}
	if err := d.build(ctx, ref, dir, dockerfile, log); err != nil {
		return imageError(ctx, "build image", err)
	}
	return nil
}

func (d *Driver) build(ctx context.Context, ref, dir, dockerfile string, log io.Writer) error {
	source, packed := io.Pipe()
	var packing sync.WaitGroup
	packing.Go(func() { packed.CloseWithError(pack(packed, dir)) })
	defer packing.Wait()
	defer func() { _ = source.Close() }() // lets pack end if the engine did not read it all
	building, err := d.api.ImageBuild(ctx, source, client.ImageBuildOptions{
		Version:     build.BuilderV1,
		Tags:        []string{ref},
		Dockerfile:  filepath.ToSlash(dockerfile),
		Labels:      map[string]string{labelInstallation: d.installation},
		Remove:      true,
		ForceRemove: true,
		Memory:      buildMemory,
		MemorySwap:  buildMemory,
	})
	if err != nil {
		return err
	}
	defer func() { _ = building.Body.Close() }()
	return follow(building.Body, log)
}

// pack writes what is in dir to w as a tar.
func pack(w io.Writer, dir string) error {
	archive := tar.NewWriter(w)
	return errors.Join(archive.AddFS(os.DirFS(dir)), archive.Close())
}

// follow writes what the engine tells of a long operation to log, line by line, until that ends or fails.
func follow(messages io.Reader, log io.Writer) error {
	decoder := json.NewDecoder(messages)
	for {
		var message jsonstream.Message
		err := decoder.Decode(&message)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case message.Error != nil:
			return message.Error
		}
		if _, err := io.WriteString(log, line(message)); err != nil {
			return err
		}
	}
}

// line is a message in words. Progress within a layer is left out: it is a bar that is redrawn.
func line(message jsonstream.Message) string {
	switch {
	case message.Stream != "":
		return message.Stream
	case message.Status == "" || message.Progress != nil:
		return ""
	case message.ID != "":
		return message.ID + ": " + message.Status + "\n"
	}
	return message.Status + "\n"
}

// imageError tells an end of ctx from a fault of the image, in the engine's or the registry's words.
func imageError(ctx context.Context, doing string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: %w", doing, cause)
	}
	if client.IsErrConnectionFailed(err) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%w: %s: %w", pod.ErrImage, doing, err)
}

// RemoveImages removes the images of a repository that BuildImage made for this installation. One that a container is made of stays.
func (d *Driver) RemoveImages(ctx context.Context, repository string) error {
	named, err := reference.ParseNormalizedNamed(repository)
	if err != nil {
		return fmt.Errorf("remove images %s: %w", repository, err)
	}
	found, err := d.api.ImageList(ctx, client.ImageListOptions{Filters: d.ours().Add("reference", reference.FamiliarName(named))})
	if err != nil {
		return fmt.Errorf("remove images %s: %w", repository, err)
	}
	var faults []error
	for _, image := range found.Items {
		for _, tag := range image.RepoTags {
			faults = append(faults, d.removeImage(ctx, tag))
		}
	}
	return errors.Join(faults...)
}

func (d *Driver) removeImage(ctx context.Context, ref string) error {
	_, err := d.api.ImageRemove(ctx, ref, client.ImageRemoveOptions{PruneChildren: true})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return fmt.Errorf("remove image %s: %w", ref, err)
	}
	return nil
}
