package python

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process"
)

const handlerThatEchoes = "def handler(payload, ctx): return payload"

// BenchmarkCall is the time of one call over a kept connection, the client's share included.
func BenchmarkCall(b *testing.B) {
	p := plainly.start(b, handlerThatEchoes)
	for b.Loop() {
		if a := p.post("payload", nil); a.body != "payload" {
			b.Fatal(a)
		}
	}
}

// BenchmarkColdStart is the time from the request for a pod to its first 200: one that is started plainly and one that is forked
// from a warm template in turns, so that both have the same machine. What is reported as memory is the share of a pod that idles
// among others, and what it alone has.
func BenchmarkColdStart(b *testing.B) {
	for _, sandbox := range []process.Sandbox{process.SandboxOff, process.SandboxAuto} {
		b.Run("sandbox="+string(sandbox), func(b *testing.B) {
			dir := b.TempDir()
			driver, r := openDriver(b, dir, sandbox, b.Output()), New(b.TempDir())
			warm(b, driver, r)
			forked := specOf(b, r, handlerThatEchoes)
			plain := forked
			plain.Template = nil
			var plainly, byFork []time.Duration
			for b.Loop() {
				plainly = append(plainly, coldStart(b, driver, plain))
				byFork = append(byFork, coldStart(b, driver, forked))
			}
			report(b, plainly, "plain")
			report(b, byFork, "template")
			b.ReportMetric(0, "ns/op")
			reportMemory(b, driver, dir, plain, "plain")
			reportMemory(b, driver, dir, forked, "template")
		})
	}
}

// coldStart starts and ends a pod and answers how long the start took. The start includes a first 200, at the health path.
func coldStart(b *testing.B, driver *process.Driver, spec pod.Spec) time.Duration {
	began := time.Now()
	p := startPod(b, driver, spec)
	took := time.Since(began)
	if err := p.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
	return took
}

func report(b *testing.B, all []time.Duration, name string) {
	slices.Sort(all)
	for _, percent := range []int{50, 90} {
		at := all[min(len(all)*percent/100, len(all)-1)]
		b.ReportMetric(float64(at)/float64(time.Millisecond), fmt.Sprintf("%s-p%d-ms", name, percent))
	}
}

// reportMemory measures ten pods beside each other.
func reportMemory(b *testing.B, driver *process.Driver, dir string, spec pod.Spec, name string) {
	before := recorded(b, dir)
	pods := make([]pod.Pod, 10)
	for i := range pods {
		pods[i] = startPod(b, driver, spec)
	}
	var share, own int
	for _, id := range recorded(b, dir) {
		if !slices.Contains(before, id) {
			held := memoryOf(b, id)
			share += held["Pss"] / len(pods)
			own += (held["Private_Dirty"] + held["Private_Clean"]) / len(pods)
		}
	}
	b.ReportMetric(float64(share), name+"-pss-KiB")
	b.ReportMetric(float64(own), name+"-private-KiB")
	for _, p := range pods {
		if err := p.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// recorded answers the process ids of the driver's pods and templates.
func recorded(t testing.TB, dir string) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "pod-*", "process.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var record struct{ PID int }
		if err := json.Unmarshal(data, &record); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, record.PID)
	}
	return ids
}

// memoryOf answers the KiB of each kind.
func memoryOf(t testing.TB, id int) map[string]int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", id))
	if err != nil {
		t.Fatal(err)
	}
	held := make(map[string]int)
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var size int
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if _, err := fmt.Sscan(rest, &size); err == nil {
			held[name] = size
		}
	}
	return held
}
