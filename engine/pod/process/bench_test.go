package process_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
)

// BenchmarkStart is the time from the request for a pod to its first 200, beside that of a bare fork and exec of the same program,
// whose port is tried without a pause.
func BenchmarkStart(b *testing.B) {
	b.Run("bare", benchmarkBare)
	for name, activated := range map[string]bool{"probe": false, "activation": true} {
		b.Run(name, func(b *testing.B) {
			driver := open(b, b.TempDir())
			spec := program(b)
			spec.Env, spec.SocketActivation = podtest.ServingEnv(), activated
			for b.Loop() {
				p, err := driver.Start(b.Context(), spec)
				if err != nil {
					b.Fatal(err)
				}
				mustAnswer(b, p)
				b.StopTimer()
				if err := p.Stop(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func mustAnswer(b *testing.B, p pod.Pod) {
	if !answers(p.Addr().String()) {
		b.Fatalf("the pod does not answer: %v", p.Logs())
	}
}

func answers(address string) bool {
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Get(address)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}

func benchmarkBare(b *testing.B) {
	spec := program(b)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	listener.Close()
	for b.Loop() {
		command := exec.Command(spec.Command[0])
		command.Env = append(os.Environ(), "PORT="+port)
		for name, value := range podtest.ServingEnv() {
			command.Env = append(command.Env, name+"="+value)
		}
		if err := command.Start(); err != nil {
			b.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); !answers("http://127.0.0.1:" + port); {
			if time.Now().After(deadline) {
				b.Fatal("the program does not answer")
			}
		}
		b.StopTimer()
		_ = command.Process.Kill()
		_ = command.Wait() // says that it was killed
		b.StartTimer()
	}
}
