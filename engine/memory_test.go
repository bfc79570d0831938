package engine

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

// starving is a driver whose pods end because they want more memory than there is, if they do not end by being stopped.
type starving struct{ pod.Driver }

type starved struct{ pod.Pod }

func (d starving) Start(ctx context.Context, spec pod.Spec) (pod.Pod, error) {
	started, err := d.Driver.Start(ctx, spec)
	return starved{started}, err
}

func (p starved) Err() error {
	if err := p.Pod.Err(); err == nil {
		return nil
	}
	return &pod.ExitError{Pod: p.Name(), Reason: "it was killed", Err: pod.ErrOutOfMemory}
}

// startStarving runs a process whose pods want too much memory when they are called.
func startStarving(t *testing.T) *process {
	t.Helper()
	var p *process
	p = newProcess(t, streamtest.Start(t), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		go p.driver.Running()[0].Crash("killed")
		<-r.Context().Done()
	}), Config{})
	p.engine.dispatch.driver = starving{p.driver}
	p.publish(t, store.Config{})
	return p.run()
}

func TestOutOfMemoryEndsAnExecutionWithThatWord(t *testing.T) {
	t.Parallel()
	p := startStarving(t)
	e := p.untilEnd(t, p.submit(t, nil))
	expect(t, e, store.Failed, codeOutOfMemory)
	if !strings.Contains(e.Error.Message, "out of memory") {
		t.Errorf("message %q", e.Error.Message)
	}
}

func TestOutOfMemoryIsToldToWhoWaits(t *testing.T) {
	t.Parallel()
	p := startStarving(t)
	client := pod.NewClient()
	defer client.Close()
	err := p.engine.Do(t.Context(), testApp, 0, func(target pod.Target) error {
		_, err := client.Do(t.Context(), target, pod.Request{})
		return err
	})
	if !errors.Is(err, pod.ErrBroken) || !errors.Is(err, pod.ErrOutOfMemory) {
		t.Errorf("call: %v, want ErrBroken and ErrOutOfMemory", err)
	}
}
