package python

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process"
	"dodil.io/ignite/store"
)

// handlerThatTells says how it was started: a template has loaded asyncio, and the launcher alone has not.
const handlerThatTells = `
import sys
forked = "asyncio" in sys.modules
def handler(payload, ctx): return "forked" if forked else "plain"
`

// openDriver opens a driver without a sandbox.
func openDriver(t testing.TB, dir string) *process.Driver {
	t.Helper()
	return openDriverWith(t, dir, process.SandboxOff)
}

func openDriverWith(t testing.TB, dir string, sandbox process.Sandbox) *process.Driver {
	t.Helper()
	driver, err := process.New(process.Options{Dir: dir, Sandbox: sandbox, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
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

// specOf is a pod of handler.
func specOf(t testing.TB, r *Runtime, handler string, env ...string) pod.Spec {
	t.Helper()
	given := make(map[string]string)
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		given[name] = value
	}
	launch, err := r.Launch(t.Context(), codeIn(t, map[string]string{"handler.py": handler}), store.Version{Config: store.Config{Env: given}})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range launch.Env {
		given[name] = value
	}
	return pod.Spec{
		Name: "app-1-test", Org: "org", App: "app", Version: 1,
		Dir: launch.Dir, Command: launch.Command, Env: given, Template: launch.Template,
		SocketActivation: launch.SocketActivation, HealthPath: launch.HealthPath,
	}
}

// warm returns once driver forks pods.
func warm(t testing.TB, driver *process.Driver, r *Runtime) {
	t.Helper()
	spec := specOf(t, r, handlerThatTells)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		p := startPod(t, driver, spec)
		answer := call(t, p, "")
		if err := p.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if answer == "forked" {
			return
		}
	}
	t.Fatal("the template does not become warm")
}

func startPod(t testing.TB, driver *process.Driver, spec pod.Spec) pod.Pod {
	t.Helper()
	p, err := driver.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// call answers the body of a call that succeeds.
func call(t testing.TB, p pod.Pod, payload string) string {
	t.Helper()
	response, err := http.Post(p.Addr().String(), "", strings.NewReader(payload))
	if err != nil {
		t.Fatal(err, p.Logs())
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("got %d, %q, %v", response.StatusCode, body, err)
	}
	return string(body)
}

func TestForkedPod(t *testing.T) {
	t.Parallel()
	driver, r := openDriver(t, t.TempDir()), New(t.TempDir())
	warm(t, driver, r)
	began := time.Now()
	p := startPod(t, driver, specOf(t, r, handlerThatTells))
	t.Log(time.Since(began), call(t, p, ""))
}
