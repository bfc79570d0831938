package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"dodil.io/ignite/engine/pod/podtest"
)

// dockerEngine answers an engine's address; a test that needs one is skipped where there is none.
func dockerEngine(t *testing.T) (api *client.Client, host string) {
	t.Helper()
	host = cmp.Or(os.Getenv("DOCKER_HOST"), "unix:///var/run/docker.sock")
	api, err := client.New(client.WithHost(host))
	if err != nil {
		t.Skipf("no Docker engine: %v", err)
	}
	t.Cleanup(func() { _ = api.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := api.Ping(ctx, client.PingOptions{}); err != nil {
		t.Skipf("no Docker engine at %s: %v", host, err)
	}
	return api, host
}

// imageArchive is an archive that becomes an image of one static binary. It differs each time, so that it is really built.
func imageArchive(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := podtest.BuildProgram(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dockerfile := "FROM scratch\nCOPY program /program\nUSER 1234\nLABEL test=" + rand.Text() + "\n"
	for name, value := range podtest.ServingEverywhereEnv() {
		dockerfile += fmt.Sprintf("ENV %s=%q\n", name, value)
	}
	return pack(t, map[string][]byte{"program": program, "Dockerfile": []byte(dockerfile + "ENTRYPOINT [\"/program\"]\n")})
}

// containers answers those of an app.
func containers(t *testing.T, api *client.Client, app string) []container.Summary {
	t.Helper()
	filters := client.Filters{}.Add("label", "io.dodil.ignite.app=acme-corp/"+app)
	found, err := api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	return found.Items
}

// An archive with a Dockerfile is built, runs within its limits, leaves no container when it is idle, and a server that was killed
// leaves none for longer than until it is back.
func TestImageApp(t *testing.T) {
	t.Parallel()
	api, host := dockerEngine(t)
	args := []string{"--docker-host", host, "--least-scaledown-secs", "1"}
	dir, app := dataDir(t), "image-"+strings.ToLower(rand.Text()[:8])
	s := startServer(t, dir, args...)
	s.deploy(t, app, procfileCode(imageArchive(t)), `"resourceTier":"RESOURCE_TIER_SMALL","scaling":{"scaledownPeriodSecs":1},"env":{"GREETING":"hello"},"retry":{"maxAttempts":1}`)
	says(t, readAll(t, s.invoke(t, app, `{"http":{"path":"/environment"}}`)), "GREETING=hello", "PORT=80", "HOME=/ignite/home")
	confined(t, api, containers(t, api, app))
	prebuilt(t, s, api, app)
	eventually(t, "the container of an idle app is still there", func() bool { return len(containers(t, api, app)) == 0 })

	if got := readAll(t, s.invoke(t, app, `{"http":{"path":"/"}}`)); got != "ok" {
		t.Errorf("after an idle time the app answers %q", got)
	}
	greedy := s.await(t, s.submit(t, app, `{"http":{"path":"/allocate","query":"mb=300"}}`))
	if fault, _ := greedy["error"].(map[string]any); greedy["status"] != "EXECUTION_STATUS_FAILED" || fault["code"] != "OUT_OF_MEMORY" {
		t.Errorf("a call that wants more memory than the tier has becomes %v", greedy)
	}
	s.invoke(t, app, `{"http":{"path":"/"}}`)
	s.kill()
	if left := containers(t, api, app); len(left) == 0 {
		t.Error("a server that was killed left no container, which this test is about")
	}
	s = startServer(t, dir, args...)
	if left := containers(t, api, app); len(left) != 0 {
		t.Errorf("%d containers of the server that was killed are still there", len(left))
	}
	if got := readAll(t, s.invoke(t, app, `{"http":{"path":"/"}}`)); got != "ok" {
		t.Errorf("after a crash of the server the app answers %q", got)
	}
	s.stop(t)
	if left := containers(t, api, app); len(left) != 0 {
		t.Errorf("a server that was stopped left %d containers", len(left))
	}
}

// confined checks that a container has the limits of its tier and no way around them.
func confined(t *testing.T, api *client.Client, found []container.Summary) {
	t.Helper()
	if len(found) != 1 {
		t.Fatalf("the app has %d containers", len(found))
	}
	inspected, err := api.ContainerInspect(t.Context(), found[0].ID, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	host, user := inspected.Container.HostConfig, inspected.Container.Config.User
	if host.Memory != 256<<20 || host.MemorySwap != host.Memory || host.NanoCPUs != 250e6 || host.PidsLimit == nil || *host.PidsLimit <= 0 {
		t.Errorf("the limits are %+v", host.Resources)
	}
	if !host.ReadonlyRootfs || strings.Join(host.CapDrop, " ") != "ALL" || strings.Join(host.SecurityOpt, " ") != "no-new-privileges" || user != "1234" {
		t.Errorf("the container of user %q may do too much: %+v", user, host)
	}
}

// prebuilt publishes the image of an app by its name, and one that cannot be had.
func prebuilt(t *testing.T, s *server, api *client.Client, app string) {
	t.Helper()
	running := containers(t, api, app)
	if len(running) == 0 {
		t.Fatalf("no container of %s is there to take the image from", app)
	}
	const registry = "ignite.invalid/"
	tag := registry + app + ":1"
	if _, err := api.ImageTag(t.Context(), client.ImageTagOptions{Source: running[0].ImageID, Target: tag}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = api.ImageRemove(context.WithoutCancel(t.Context()), running[0].ImageID, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	})
	s.deploy(t, app+"-prebuilt", `{"image":{"prebuilt":{"imageRef":"`+tag+`"}}}`, `"scaling":{"scaledownPeriodSecs":1}`)
	if got := readAll(t, s.invoke(t, app+"-prebuilt", `{"http":{"path":"/"}}`)); got != "ok" {
		t.Errorf("the prebuilt image answers %q", got)
	}
	missing := `{"name":"missing","code":{"image":{"prebuilt":{"imageRef":"` + registry + `missing:1"}}}}`
	if status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp", missing); status != http.StatusOK {
		t.Fatalf("create: %d %v", status, answer)
	}
	_, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp/missing/draft/publish", "{}")
	says(t, fmt.Sprint(answer), "pull image ignite.invalid/missing:1")
}

// Without an engine an image is refused when it is saved, with what to do.
func TestImageAppWithoutEngine(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	for name, code := range map[string]string{
		"prebuilt":   `{"image":{"prebuilt":{"imageRef":"ignite.invalid/app:1"}}}`,
		"dockerfile": procfileCode(pack(t, map[string][]byte{"Dockerfile": []byte("FROM scratch\n")})),
	} {
		status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp", `{"name":"`+name+`","code":`+code+`}`)
		if status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, status)
		}
		says(t, fmt.Sprint(answer), "IGNITE_DOCKER_HOST")
	}
}

// An engine that is set but not there keeps the server from starting, by the name of the setting.
func TestEngineIsNotThere(t *testing.T) {
	t.Parallel()
	command := self("--data-dir", dataDir(t), "--docker-host", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	out, err := command.CombinedOutput()
	if err == nil {
		t.Error("the server ran")
	}
	says(t, string(out), "IGNITE_DOCKER_HOST", "none.sock")
}
