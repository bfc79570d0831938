package docker_test

import (
	"net/url"
	"testing"
	"time"

	engine "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/engine/pod/probe"
)

// BenchmarkColdStart is from nothing to the first answer, as "ms/answer": the time of an operation includes the stop. "bare" is what the
// engine needs for a container without limits and confinement in its default network.
func BenchmarkColdStart(b *testing.B) {
	driver, spec := open(b, b.TempDir()), serving(b)
	b.Run("driver", func(b *testing.B) {
		measure(b, func() (stop func() error) {
			p := start(b, driver, spec)
			if _, err := ask(p, "/"); err != nil {
				b.Fatal(err)
			}
			return func() error { return p.Stop(b.Context()) }
		})
	})
	b.Run("bare", func(b *testing.B) {
		measure(b, func() (stop func() error) { return startBare(b, driver.API(), spec) })
	})
}

func measure(b *testing.B, start func() (stop func() error)) {
	var answered time.Duration
	for b.Loop() {
		began := time.Now()
		stop := start()
		answered += time.Since(began)
		if err := stop(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(answered.Microseconds())/1000/float64(b.N), "ms/answer")
}

func startBare(b *testing.B, api *client.Client, spec pod.Spec) (stop func() error) {
	b.Helper()
	env := []string{"PORT=80"}
	for name, value := range podtest.ServingEverywhereEnv() {
		env = append(env, name+"="+value)
	}
	made, err := api.ContainerCreate(b.Context(), client.ContainerCreateOptions{
		Config: &engine.Config{Image: spec.Image, Cmd: spec.Command, Env: env},
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := api.ContainerStart(b.Context(), made.ID, client.ContainerStartOptions{}); err != nil {
		b.Fatal(err)
	}
	found, err := api.ContainerInspect(b.Context(), made.ID, client.ContainerInspectOptions{})
	if err != nil {
		b.Fatal(err)
	}
	address := &url.URL{Scheme: "http", Host: found.Container.NetworkSettings.Networks["bridge"].IPAddress.String() + ":80"}
	if err := (probe.Pod{Addr: address, HealthPath: "/", ListenLimit: time.Minute}).Await(b.Context()); err != nil {
		b.Fatal(err)
	}
	return func() error {
		_, err := api.ContainerRemove(b.Context(), made.ID, client.ContainerRemoveOptions{Force: true})
		return err
	}
}
