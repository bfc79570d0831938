package process_test

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"testing"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/engine/pod/process"
)

func TestMain(m *testing.M) {
	if code, ran := podtest.RunProgram(); ran {
		os.Exit(code)
	}
	if dir := os.Getenv(serverVariable); dir != "" {
		if err := runServer(dir); err != nil {
			panic(err)
		}
		return
	}
	for _, name := range []string{"IGNITE_NATS_URL", "NATS_CREDS", "LD_PRELOAD_OF_TEST"} {
		if err := os.Setenv(name, "secret"); err != nil {
			panic(err)
		}
	}
	dir, err := os.MkdirTemp("", "process-test-")
	if err == nil {
		err = os.Setenv(programsVariable, cmp.Or(os.Getenv(programsVariable), dir))
	}
	if err != nil {
		panic(err)
	}
	m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
}

// programsVariable names the folder of what the tests build, which is built there if it is not there yet.
const programsVariable = "PROCESS_TEST_PROGRAMS"

func TestDriver(t *testing.T) {
	t.Parallel()
	for _, sandbox := range []process.Sandbox{process.SandboxAuto, process.SandboxOff} {
		t.Run(string(sandbox), func(t *testing.T) {
			t.Parallel()
			podtest.Exercise(t, podtest.Subject{
				Open: func(t *testing.T) pod.Driver { return openWith(t, process.Options{Dir: t.TempDir(), Sandbox: sandbox}) },
				Base: program(t),
			})
		})
	}
}

// program is a pod that runs this test's binary, which is then podtest's program.
func program(t testing.TB) pod.Spec {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return pod.Spec{Name: "app-1-test", Org: "org", App: "app", Version: 1, Dir: t.TempDir(), Command: []string{executable}}
}

func open(t testing.TB, dir string) *process.Driver {
	t.Helper()
	return openWith(t, process.Options{Dir: dir})
}

func openWith(t testing.TB, options process.Options) *process.Driver {
	t.Helper()
	options.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	driver, err := process.New(options)
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
