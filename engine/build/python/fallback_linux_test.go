package python

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process"
)

// alarm is a log that tells when something is written to it.
type alarm struct {
	text  string
	once  sync.Once
	heard chan struct{}
}

func (a *alarm) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(a.text)) {
		a.once.Do(func() { close(a.heard) })
	}
	return len(line), nil
}

// A template that does not come up costs its pods their speed and nothing else.
func TestHopelessTemplates(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"exits":                   {"/bin/sh", "-c", "echo I give up >&2; exit 3"},
		"is missing":              {"/there/is/no/such/program"},
		"speaks otherwise":        {"/bin/sh", "-c", "echo hello >&3; read line"},
		"ends when it is ready":   {"/bin/sh", "-c", `printf '{"ready":true}' >&3`},
		"is not what it is asked": {"/bin/sh", "-c", `printf '{"fault":"no modules"}' >&3; read line`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gaveUp := &alarm{text: "pods are started without their template from now on", heard: make(chan struct{})}
			driver := openDriver(t, t.TempDir(), process.SandboxOff, io.MultiWriter(t.Output(), gaveUp))
			spec := specOf(t, New(t.TempDir()), handlerThatTells)
			spec.Template = &pod.Template{Name: name, Command: command}
			if got := call(t, startPod(t, driver, spec), ""); got != "plain" {
				t.Errorf("the first pod is %s", got)
			}
			select {
			case <-gaveUp.heard:
			case <-time.After(20 * time.Second):
				t.Fatal("the template is not given up")
			}
			if got := call(t, startPod(t, driver, spec), ""); got != "plain" {
				t.Errorf("a later pod is %s", got)
			}
		})
	}
}

// A pod whose order gets lost is started plainly.
func TestTemplateThatForksNothing(t *testing.T) {
	t.Parallel()
	lost := &alarm{text: "a pod is started without its template", heard: make(chan struct{})}
	driver := openDriver(t, t.TempDir(), process.SandboxOff, io.MultiWriter(t.Output(), lost))
	spec := specOf(t, New(t.TempDir()), handlerThatTells)
	// It reads the byte of an order and drops what comes with it.
	spec.Template = &pod.Template{Name: "deaf", Command: []string{"/bin/sh", "-c", `printf '{"ready":true}' >&3; head -c 1 <&3 >/dev/null; read line`}}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		p := startPod(t, driver, spec)
		if got := call(t, p, ""); got != "plain" {
			t.Fatalf("the pod is %s", got)
		}
		if err := p.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-lost.heard:
			return
		default:
		}
	}
	t.Error("no pod was ordered from the template")
}
