package docker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/docker"
	"dodil.io/ignite/engine/pod/podtest"
)

// ask calls a pod with a client of its own, so that no connection is left over.
func ask(p pod.Pod, path string) (string, error) {
	caller := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := caller.Get(p.Addr().String() + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func mustAsk(t *testing.T, p pod.Pod, path string) string {
	t.Helper()
	answer, err := ask(p, path)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// What the package comment promises about writing is held against a running pod.
func TestOnlyScratchIsWritable(t *testing.T) {
	t.Parallel()
	driver := open(t, t.TempDir())
	p := start(t, driver, serving(t))
	for _, folder := range []string{"/tmp", "/ignite/home"} {
		if got := mustAsk(t, p, "/write?file="+folder+"/x"); got != "written" {
			t.Errorf("writing to %s: %s", folder, got)
		}
	}
	for _, folder := range []string{"", "/app", "/ignite", "/proc/sys/kernel"} {
		if got := mustAsk(t, p, "/write?file="+folder+"/x"); got == "written" {
			t.Errorf("the pod wrote to %q", folder)
		}
	}
	status := mustAsk(t, p, "/read?file=/proc/self/status")
	for _, line := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t65532\t65532", "Gid:\t65532\t65532"} {
		if !strings.Contains(status, line) {
			t.Errorf("%q is not in the status of the process:\n%s", line, status)
		}
	}
}

// A pod that wants more memory than it may have ends with that word.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	driver := open(t, t.TempDir())
	spec := serving(t)
	spec.MemoryMB = 32
	p := start(t, driver, spec)
	if answer, err := ask(p, "/allocate?mb=128"); err == nil {
		t.Errorf("the pod answered %q", answer)
	}
	<-p.Done()
	if err := p.Err(); !errors.Is(err, pod.ErrOutOfMemory) || !strings.Contains(err.Error(), "32 MB") {
		t.Errorf("the pod ended with %v", err)
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	driver := open(t, t.TempDir())
	spec := serving(t)
	spec.Ports = []uint32{8080, 9090}
	p := start(t, driver, spec)
	if p.Addr().Port() != "8080" || p.AddrOf(9090).Port() != "9090" || p.AddrOf(9090).Hostname() != p.Addr().Hostname() {
		t.Errorf("the addresses are %v and %v", p.Addr(), p.AddrOf(9090))
	}
	if env := mustAsk(t, p, "/environment"); !strings.Contains(env, "PORT=8080\n") {
		t.Errorf("the environment is %s", env)
	}
}

// Pods of one installation cannot reach each other.
func TestPodsAreApart(t *testing.T) {
	t.Parallel()
	driver := open(t, t.TempDir())
	spec := serving(t)
	one, other := start(t, driver, spec), start(t, driver, spec)
	if got := mustAsk(t, one, "/dial?address="+other.Addr().Host); !strings.Contains(got, "timeout") {
		t.Errorf("a pod that dials another gets %q", got)
	}
	if got := mustAsk(t, one, "/dial?address=127.0.0.1:80"); got != "connected" {
		t.Errorf("a pod that dials itself gets %q", got)
	}
}

// The next driver to open the folder removes what one left that did not come to close, and nothing of another folder.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killed, stranger := open(t, dir), open(t, t.TempDir())
	spec := serving(t)
	left, frozen, other := start(t, killed, spec), start(t, killed, spec), start(t, stranger, spec)
	if err := frozen.(pod.Freezer).Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := open(t, dir)
	for _, p := range []pod.Pod{left, frozen} {
		select {
		case <-p.Done():
		case <-time.After(20 * time.Second):
			t.Errorf("%s was not removed", p.Name())
		}
	}
	if there, err := next.Containers(t.Context()); err != nil || len(there.Items) > 0 {
		t.Errorf("%d containers are there, %v", len(there.Items), err)
	}
	if got := mustAsk(t, other, "/"); got != "ok" {
		t.Errorf("a pod of another installation answers %q", got)
	}
}

// What is wrong with an image is told in the words of the engine or the registry.
func TestImageThatCannotBeHad(t *testing.T) {
	t.Parallel()
	driver := open(t, t.TempDir())
	for name, words := range map[string]string{
		"ignite.invalid/none:1": "ignite.invalid",
		"../containers/json":    "invalid reference format",
		"Upper:1":               "must be lowercase",
	} {
		_, err := driver.Start(t.Context(), pod.Spec{Name: "app-1-x", Image: name, Command: []string{"/program"}})
		startError, ok := errors.AsType[*pod.StartError](err)
		if !ok || !errors.Is(err, pod.ErrImage) || !strings.Contains(startError.Reason, words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImageThatDoesNotBuild(t *testing.T) {
	t.Parallel()
	driver := open(t, t.TempDir())
	for dockerfile, words := range map[string]string{
		"FROM scratch\nCOPY nothing /\n": "nothing",
		"FROM scratch\nNONSENSE\n":       "NONSENSE",
		"":                               "empty",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
			t.Fatal(err)
		}
		err := driver.BuildImage(t.Context(), "ignite.test/broken:1", dir, "", io.Discard)
		if !errors.Is(err, pod.ErrImage) || !strings.Contains(err.Error(), words) {
			t.Errorf("%q builds with %v", dockerfile, err)
		}
	}
}

// temporary answers the name of an image that is removed after the drivers which the test opens from now on are closed.
func temporary(t *testing.T) string {
	t.Helper()
	name := "ignite.test/temporary:" + random()
	driver, err := docker.New(docker.Options{Host: host(t), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := driver.RemoveImage(context.WithoutCancel(t.Context()), name); err != nil {
			t.Error(err)
		}
	})
	return name
}

// A start builds the image that it lacks, once for all who want it, and the next finds it there.
func TestStartBuildsItsImage(t *testing.T) {
	t.Parallel()
	image := temporary(t)
	driver := open(t, t.TempDir())
	dir, err := program()
	if err != nil {
		t.Fatal(err)
	}
	spec := pod.Spec{
		Name: "app-1-built", Org: "org", App: "app", Version: 1, Image: image,
		Dir: dir, Dockerfile: "Dockerfile", Command: []string{"/program"}, Env: podtest.ServingEverywhereEnv(),
	}
	failed := make(chan error, 3)
	for range cap(failed) {
		go func() {
			_, err := driver.Start(t.Context(), spec)
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	var log strings.Builder
	if err := driver.BuildImage(t.Context(), spec.Image, dir, "", &log); err != nil || log.Len() > 0 {
		t.Errorf("an image that was there: %v, %q", err, log.String())
	}
}

// The images of a repository go together, and none of another one.
func TestRemoveImages(t *testing.T) {
	t.Parallel()
	stays := temporary(t)
	driver := open(t, t.TempDir())
	dir := t.TempDir()
	repository := "ignite.test/removed-" + random()
	for _, name := range []string{repository + ":a", repository + ":b", stays} {
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nLABEL name="+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := driver.BuildImage(t.Context(), name, dir, "", io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := driver.RemoveImages(t.Context(), repository); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{repository + ":a": false, repository + ":b": false, stays: true} {
		if _, err := driver.API().ImageInspect(t.Context(), name); (err == nil) != want {
			t.Errorf("image %s: %v", name, err)
		}
	}
}

// The image's user stays if it is a number, and its volumes are scratch.
func TestImageSettings(t *testing.T) {
	t.Parallel()
	images := map[string]string{"1234:5678": temporary(t), "root": temporary(t)}
	driver := open(t, t.TempDir())
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(binary, "program"))
	if err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{"1234:5678": "Uid:\t1234", "root": "Uid:\t65532"} {
		dir := t.TempDir()
		dockerfile := fmt.Sprintf("FROM scratch\nCOPY program /program\nUSER %s\nVOLUME /data\nENTRYPOINT [\"/program\"]\n", user)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600),
			os.WriteFile(filepath.Join(dir, "program"), content, 0o755)); err != nil {
			t.Fatal(err)
		}
		p := start(t, driver, pod.Spec{Name: "app-1-x", Image: images[user], Dir: dir, Env: podtest.ServingEverywhereEnv()})
		if status := mustAsk(t, p, "/read?file=/proc/self/status"); !strings.Contains(status, want) {
			t.Errorf("an image of user %s runs as\n%s", user, status)
		}
		if got := mustAsk(t, p, "/write?file=/data/x"); got != "written" {
			t.Errorf("writing to the volume: %s", got)
		}
	}
}

// A pod that somebody else removes has ended, and says so.
func TestRemovedByAnother(t *testing.T) {
	t.Parallel()
	driver := open(t, t.TempDir())
	p := start(t, driver, serving(t))
	there, err := driver.Containers(t.Context())
	if err != nil || len(there.Items) != 1 {
		t.Fatalf("%d containers are there, %v", len(there.Items), err)
	}
	if _, err := driver.API().ContainerRemove(t.Context(), there.Items[0].ID, client.ContainerRemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if _, ok := errors.AsType[*pod.ExitError](p.Err()); !ok {
		t.Errorf("the pod ended with %v", p.Err())
	}
}

var _ pod.Driver = (*docker.Driver)(nil)
