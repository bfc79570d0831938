package podtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
)

var drivers = map[string]func(podtest.Program) *podtest.Memory{"loopback": podtest.NewLoopback, "pipe": podtest.NewPipe}

func start(t *testing.T, driver *podtest.Memory) *podtest.MemoryPod {
	t.Helper()
	if _, err := driver.Start(t.Context(), pod.Spec{Name: "a-1-x", StopGrace: time.Second}); err != nil {
		t.Fatal(err)
	}
	return driver.Running()[0]
}

func ask(t *testing.T, driver *podtest.Memory, p pod.Pod) (string, error) {
	t.Helper()
	client := driver.Client()
	defer client.Close()
	response, err := client.Do(t.Context(), pod.Target{Addr: p.Addr(), OutOfService: p.Done()}, pod.Request{})
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func TestMemoryPodServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	for name, open := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			driver := open(podtest.Serving(http.HandlerFunc(hello)))
			p := start(t, driver)
			p.Logf("line %d", 1)
			if body, err := ask(t, driver, p); err != nil || body != "hello" {
				t.Errorf("the pod answered %q, %v", body, err)
			}
			for range 2 {
				if err := p.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := ask(t, driver, p); !errors.Is(err, pod.ErrUnreachable) {
				t.Errorf("calling a stopped pod answered %v", err)
			}
			if p.Err() != nil || !slices.Equal(p.Logs(), []string{"line 1"}) || driver.Started() != 1 || len(driver.Running()) != 0 {
				t.Errorf("error %v, log %q, %d started, %d running", p.Err(), p.Logs(), driver.Started(), len(driver.Running()))
			}
		})
	}
}

func TestMemoryPodCrashes(t *testing.T) {
	t.Parallel()
	for name, open := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			called := make(chan struct{})
			driver := open(podtest.Serving(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(called)
				<-r.Context().Done()
			})))
			p := start(t, driver)
			answered := make(chan error, 1)
			go func() {
				_, err := ask(t, driver, p)
				answered <- err
			}()
			<-called
			p.Crash("out of memory")
			if err := <-answered; !errors.Is(err, pod.ErrBroken) {
				t.Errorf("the call answered %v, want ErrBroken", err)
			}
			if exitError, ok := errors.AsType[*pod.ExitError](p.Err()); !ok || exitError.Reason != "out of memory" {
				t.Errorf("the pod ended with %v", p.Err())
			}
		})
	}
}

func TestMemoryProgramFails(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such handler")
	driver := podtest.NewLoopback(func(context.Context, pod.Spec) (http.Handler, error) { return nil, cause })
	p, err := driver.Start(t.Context(), pod.Spec{Name: "a-1-x"})
	if _, ok := errors.AsType[*pod.StartError](err); !ok || !errors.Is(err, cause) || p != nil {
		t.Errorf("Start answered %v, %v", p, err)
	}
}

// A stop lets calls finish, and cuts them off after the grace.
func TestMemoryPodStopsWithinItsGrace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		takes time.Duration
		want  error
	}{{500 * time.Millisecond, nil}, {time.Hour, pod.ErrBroken}} {
		synctest.Test(t, func(t *testing.T) {
			driver := podtest.NewPipe(podtest.Serving(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(test.takes):
				case <-r.Context().Done():
				}
			})))
			p := start(t, driver)
			answered := make(chan error, 1)
			go func() {
				_, err := ask(t, driver, p)
				answered <- err
			}()
			synctest.Wait()
			began := time.Now()
			if err := driver.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-answered; !errors.Is(err, test.want) || time.Since(began) > 2*time.Second {
				t.Errorf("a call of %v ended with %v after %v", test.takes, err, time.Since(began))
			}
			if _, err := driver.Start(t.Context(), pod.Spec{}); err == nil {
				t.Error("a closed driver started a pod")
			}
		})
	}
}
