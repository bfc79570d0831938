package docker_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/docker"
	"dodil.io/ignite/engine/pod/podtest"
)

// defaultHost is where an engine listens that nobody set up otherwise.
const defaultHost = "unix:///var/run/docker.sock"

// host is the engine's address; a test that needs one is skipped where there is none.
func host(t testing.TB) string {
	t.Helper()
	host := cmp.Or(os.Getenv("DOCKER_HOST"), defaultHost)
	api, err := client.New(client.WithHost(host))
	if err != nil {
		t.Skipf("no Docker engine: %v", err)
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := api.Ping(ctx, client.PingOptions{}); err != nil {
		t.Skipf("no Docker engine ($DOCKER_HOST or %s): %v", defaultHost, err)
	}
	return host
}

func open(t testing.TB, dir string) *docker.Driver {
	t.Helper()
	driver, err := docker.New(docker.Options{Host: host(t), Dir: dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := driver.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return driver
}

// program is the folder of an image that holds podtest's program alone, made once.
var program = sync.OnceValues(func() (dir string, err error) {
	dir, err = os.MkdirTemp("", "podtest")
	if err != nil {
		return "", err
	}
	dockerfile := "FROM scratch\nCOPY program /program\nWORKDIR /app\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return "", err
	}
	return dir, podtest.BuildProgram(context.Background(), filepath.Join(dir, "program"))
})

func TestMain(m *testing.M) {
	code := m.Run()
	if err := removeShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shared is the image of podtest's program, for all tests of one run.
var shared struct {
	sync.Mutex
	image, host string
}

// removeShared leaves the engine and the machine as they were.
func removeShared() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.image == "" {
		return nil
	}
	dir, err := program()
	if err != nil {
		return err
	}
	driver, err := docker.New(docker.Options{Host: shared.host, Dir: dir})
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(dir), driver.RemoveImage(context.Background(), shared.image))
}

// image answers the name of the shared image.
func image(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.image != "" {
		return shared.image
	}
	driver := open(t, t.TempDir())
	dir, err := program()
	if err != nil {
		t.Fatal(err)
	}
	name := "ignite.test/podtest:" + random()
	var log strings.Builder
	if err := driver.BuildImage(t.Context(), name, dir, "", &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	shared.image, shared.host = name, host(t)
	return name
}

// random tells names of one run of the tests from those of others.
func random() string { return strings.ToLower(rand.Text()[:12]) }

func serving(t testing.TB) pod.Spec {
	t.Helper()
	return pod.Spec{
		Name: "app-1-" + random(), Org: "org", App: "app", Version: 1,
		Image: image(t), Command: []string{"/program"}, Env: podtest.ServingEverywhereEnv(),
	}
}

func TestDriver(t *testing.T) {
	t.Parallel()
	podtest.Exercise(t, podtest.Subject{
		Open:   func(t *testing.T) pod.Driver { return open(t, t.TempDir()) },
		Base:   pod.Spec{Image: image(t), Command: []string{"/program"}},
		Folder: "/app",
		Host: func(t *testing.T, driver pod.Driver) string {
			t.Helper()
			gateway, err := driver.(*docker.Driver).Gateway(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return gateway
		},
	})
}

func start(t testing.TB, driver pod.Driver, spec pod.Spec) pod.Pod {
	t.Helper()
	p, err := driver.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, options := range []docker.Options{{Dir: "x"}, {Host: defaultHost}, {Dir: "x", Host: "nonsense"}} {
		if _, err := docker.New(options); err == nil {
			t.Errorf("%+v is taken", options)
		}
	}
}

func TestEngineThatIsNotThere(t *testing.T) {
	t.Parallel()
	address := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	driver, err := docker.New(docker.Options{Dir: t.TempDir(), Host: address})
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Open(t.Context()); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("opening says %v, want the address", err)
	}
	if p, err := driver.Start(t.Context(), pod.Spec{Name: "app-1-x"}); err == nil {
		t.Errorf("it started %v", p)
	}
}

func ExampleOptions() {
	_, err := docker.New(docker.Options{Host: "unix:///var/run/docker.sock"})
	fmt.Println(err)
	// Output: docker driver: Dir is empty
}
