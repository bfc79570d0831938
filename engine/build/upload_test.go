package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/engine/build/image"
	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// engineOfTest says what it is asked for and fails if it is to.
type engineOfTest struct {
	fault   error
	removed chan string
	// removal is closed when a removal may end; nil if it need not wait.
	removal <-chan struct{}
}

func (e engineOfTest) FetchImage(_ context.Context, image string, log io.Writer) error {
	fmt.Fprintln(log, "fetch", image)
	return e.fault
}

func (e engineOfTest) BuildImage(_ context.Context, image, dir, dockerfile string, log io.Writer) error {
	content, err := os.ReadFile(filepath.Join(dir, dockerfile))
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "build %s of %s\n", image, content)
	return e.fault
}

func (e engineOfTest) RemoveImages(_ context.Context, repository string) error {
	e.removed <- repository
	if e.removal != nil {
		<-e.removal
	}
	return e.fault
}

// The images of an archive leave the machine with its code.
func TestIdleImagesAreRemoved(t *testing.T) {
	t.Parallel()
	removed := make(chan string, 1)
	b := openBuilder(t, Config{Images: engineOfTest{removed: removed}})
	archive := tarOf(t, map[string]string{"Dockerfile": "FROM x"})
	v := version(archive)
	if _, err := b.Provision(t.Context(), v, opens(archive)); err != nil {
		t.Fatal(err)
	}
	count, err := b.RemoveIdle(t.Context(), time.Now().Add(time.Hour), func(string) bool { return false })
	if err != nil || count != 1 {
		t.Fatalf("%d went, %v", count, err)
	}
	if got, want := <-removed, image.Repository(v.ArtifactHash); got != want {
		t.Errorf("the images of %s went, want those of %s", got, want)
	}
}

func TestImagesAreRemovedWhileNobodyPutsTheirCodeInPlace(t *testing.T) {
	t.Parallel()
	removed, removal := make(chan string), make(chan struct{})
	b := openBuilder(t, Config{Images: engineOfTest{removed: removed, removal: removal, fault: io.ErrUnexpectedEOF}})
	archive := tarOf(t, map[string]string{"Dockerfile": "FROM x"})
	v := version(archive)
	provision(t, b, v, opens(archive))
	ended := make(chan error, 1)
	go func() {
		_, err := b.RemoveIdle(t.Context(), time.Now().Add(time.Hour), nobody)
		ended <- err
	}()
	<-removed
	if done, free := b.tryClaim(v.ArtifactHash); free {
		b.release(v.ArtifactHash, done)
		t.Error("the code may be put in place, and its image found, while the image is being removed")
	}
	close(removal)
	if err := <-ended; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want that of the image's removal", err)
	}
	if !b.inPlace(v) {
		t.Error("the code is gone, so that nobody will try again to remove its images")
	}
}

func TestUploadGoesItsWay(t *testing.T) {
	t.Parallel()
	const both = "Dockerfile Procfile"
	for _, c := range []struct {
		engine            bool
		dockerfile, files string
		image             bool
		fault             string
	}{
		{true, "", "Dockerfile", true, ""},
		{true, "", both, true, ""},
		{true, "", "Procfile", false, ""},
		{true, "", "other", false, "Procfile is missing"},
		{true, "deploy/web", "Procfile deploy/web", true, ""},
		{true, "./deploy//web", "deploy/web", true, ""},
		{true, "deploy/web", both, true, "there is no deploy/web in the archive"},
		{true, "../Dockerfile", both, true, "there is no ../Dockerfile in the archive"},
		{false, "", "Dockerfile", true, "needs a Procfile"},
		{false, "", both, false, ""},
		{false, "deploy/web", "Procfile deploy/web", false, ""},
		{false, "deploy/web", "deploy/web", true, "was started without a Docker engine"},
	} {
		var config Config
		if c.engine {
			config.Images = engineOfTest{}
		}
		files := make(map[string][]byte)
		for file := range strings.FieldsSeq(c.files) {
			files[file] = []byte("web: server")
		}
		way := openBuilder(t, config).upload(store.Code{Dockerfile: c.dockerfile}).wayOf(files)
		if _, isImage := way.(image.Archive); isImage != c.image {
			t.Errorf("%+v goes the way of %T", c, way)
		}
		expect(t, way.Check(files), c.fault)
	}
}

func TestImageIsBuiltAndLaunched(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{Images: engineOfTest{}})
	archive := tarOf(t, map[string]string{"Dockerfile": "FROM x", "deploy/web": "FROM y"})
	names := make(map[string]bool)
	for dockerfile, from := range map[string]string{"": "FROM x", "deploy/web": "FROM y"} {
		v := version(archive)
		v.Code.Dockerfile = dockerfile
		var lines strings.Builder
		artifact, log, err := b.Build(t.Context(), v.Code, archive, &lines)
		if err != nil || artifact != nil {
			t.Fatalf("built %d bytes, %v", len(artifact), err)
		}
		launch, err := b.Provision(t.Context(), v, opens(archive))
		if err != nil {
			t.Fatal(err)
		}
		want := "build " + launch.Image + " of " + from + "\n"
		if log != want || lines.String() != want {
			t.Errorf("it printed %q and %q, want %q", log, lines.String(), want)
		}
		if content, err := os.ReadFile(filepath.Join(launch.Dir, launch.Dockerfile)); err != nil || string(content) != from {
			t.Errorf("it launches %s of %q, %v", launch.Dockerfile, content, err)
		}
		if !strings.HasPrefix(launch.Image, image.Repository(v.ArtifactHash)+":") || len(launch.Command) > 0 {
			t.Errorf("it launches %+v", launch)
		}
		names[launch.Image] = true
	}
	if len(names) != 2 {
		t.Errorf("two Dockerfiles of an archive make the images %v", names)
	}
}

func TestPrebuiltImage(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{Images: engineOfTest{}})
	code := store.Code{Kind: store.CodePrebuilt, ImageRef: "registry.example.com/team/web:1.2"}
	expect(t, b.Check(code, nil), "")
	artifact, log, err := b.Build(t.Context(), code, nil, io.Discard)
	if err != nil || artifact != nil || log != "fetch registry.example.com/team/web:1.2\n" {
		t.Errorf("built %d bytes, printed %q, %v", len(artifact), log, err)
	}
	v := store.Version{Code: code, Config: store.Config{HealthPath: "/ready"}}
	launch, err := b.Provision(t.Context(), v, func() (io.ReadCloser, error) { return nil, os.ErrNotExist })
	if err != nil || launch.Image != code.ImageRef || launch.Dir != "" || launch.HealthPath != "/ready" || launch.HealthOptional {
		t.Errorf("it launches %+v, %v", launch, err)
	}
	code.ImageRef = image.Name("0123", "Dockerfile")
	expect(t, b.Check(code, nil), "is no registry")
}

// What is wrong with an image is the code's fault; that the engine is not there is not.
func TestImageThatCannotBeHad(t *testing.T) {
	t.Parallel()
	archive := tarOf(t, map[string]string{"Dockerfile": "FROM x"})
	for _, code := range []store.Code{{Kind: store.CodePrebuilt, ImageRef: "x"}, {Kind: store.CodeUploadImage}} {
		b := openBuilder(t, Config{Images: engineOfTest{fault: fmt.Errorf("%w: no such layer", pod.ErrImage)}})
		_, _, err := b.Build(t.Context(), code, archive, io.Discard)
		expect(t, err, "no such layer")
		b = openBuilder(t, Config{Images: engineOfTest{fault: io.ErrUnexpectedEOF}})
		if _, _, err := b.Build(t.Context(), code, archive, io.Discard); err == nil || errors.Is(err, store.ErrInvalidCode) {
			t.Errorf("the platform's fault is told as %v", err)
		}
	}
}
