package python

import (
	"context"
	"io"
	"log/slog"
	"maps"
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

// openDriver opens a driver that logs to log.
func openDriver(t testing.TB, dir string, sandbox process.Sandbox, log io.Writer) *process.Driver {
	t.Helper()
	driver, err := process.New(process.Options{Dir: dir, Sandbox: sandbox, Logger: slog.New(slog.NewTextHandler(log, nil))})
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
	return specIn(t, r, codeIn(t, map[string]string{"handler.py": handler}), env...)
}

func specIn(t testing.TB, r *Runtime, dir string, env ...string) pod.Spec {
	t.Helper()
	given := make(map[string]string)
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		given[name] = value
	}
	launch, err := r.Launch(t.Context(), dir, store.Version{Config: store.Config{Env: given}})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(given, launch.Env)
	return pod.Spec{
		Name: "app-1-test", Org: "org", App: "app", Version: 1,
		Dir: launch.Dir, Command: launch.Command, ReadOnly: launch.ReadOnly, Env: given, Template: launch.Template,
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
	response, err := postTo(p, payload)
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

func postTo(p pod.Pod, payload string) (*http.Response, error) {
	return http.Post(p.Addr().String(), "", strings.NewReader(payload))
}
