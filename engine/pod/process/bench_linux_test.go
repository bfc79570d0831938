package process_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process"
)

// BenchmarkStart is the time from the request for a pod to its first 200, without a sandbox and in one, beside that of a bare fork and exec of
// the same static program, whose port is tried without a pause. They take turns, so that what else the machine does falls on all.
func BenchmarkStart(b *testing.B) {
	program, err := buildHostile()
	if err != nil {
		b.Fatal(err)
	}
	spec := pod.Spec{
		Name: "static-1-bench", Dir: b.TempDir(), Command: []string{program}, SocketActivation: true, MemoryMB: 512, CPUMillicores: 1000,
	}
	ways := []way{
		{"bare", func(b *testing.B) time.Duration { return startBare(b, program) }, nil},
		{"sandbox-off", startPod(openWith(b, process.Options{Dir: b.TempDir(), Sandbox: process.SandboxOff}), spec), nil},
		{"sandbox", startPod(openWith(b, process.Options{Dir: b.TempDir(), Sandbox: process.SandboxAuto}), spec), nil},
	}
	for b.Loop() {
		for i := range ways {
			ways[i].took = append(ways[i].took, ways[i].start(b))
		}
	}
	for _, w := range ways {
		slices.Sort(w.took)
		b.ReportMetric(w.took[len(w.took)/2].Seconds()*1e3, "ms-p50-"+w.name)
		b.ReportMetric(w.took[len(w.took)*9/10].Seconds()*1e3, "ms-p90-"+w.name)
	}
}

type way struct {
	name  string
	start func(b *testing.B) time.Duration
	took  []time.Duration
}

// startPod starts a pod and answers how long that took until the first answer; the end of the pod is not counted.
func startPod(driver *process.Driver, spec pod.Spec) func(b *testing.B) time.Duration {
	return func(b *testing.B) time.Duration {
		began := time.Now()
		p, err := driver.Start(b.Context(), spec)
		if err != nil {
			b.Fatal(err)
		}
		if !answers(p.Addr().String()) {
			b.Fatalf("the pod does not answer: %v", p.Logs())
		}
		took := time.Since(began)
		if err := p.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
		return took
	}
}

func startBare(b *testing.B, program string) time.Duration {
	const port = 19999 // below those that pods are given
	began := time.Now()
	command := exec.Command(program)
	command.Env = append(os.Environ(), "PORT="+strconv.Itoa(port))
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	for !answers("http://127.0.0.1:" + strconv.Itoa(port)) {
		if time.Since(began) > 10*time.Second {
			b.Fatal("the program does not answer")
		}
	}
	took := time.Since(began)
	_ = command.Process.Kill()
	_ = command.Wait() // says that it was killed
	return took
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
