package podtest

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"dodil.io/ignite/engine/pod"
)

func (s suite) crash() {
	p := s.start(s.spec(serves))
	if body, err := s.tryGet(p, "/crash"); err == nil {
		s.Errorf("a pod that crashed answered %q", body)
	}
	s.await(p)
	exitError, ok := errors.AsType[*pod.ExitError](p.Err())
	if !ok {
		s.Fatalf("the pod ended with %v, want an ExitError", p.Err())
	}
	s.mustMention(exitError.Error(), "code 3", "I serve")
	if !slices.Contains(exitError.Log, "I serve") {
		s.Errorf("log is %q", exitError.Log)
	}
	s.stopNow(p)
	if p.Err() == nil {
		s.Error("stopping a pod that had crashed made it forget why")
	}
}

func (s suite) stop() {
	p := s.start(s.spec(serves))
	var stopping sync.WaitGroup
	for range 5 {
		stopping.Go(func() {
			if err := p.Stop(s.Context()); err != nil {
				s.Error(err)
			}
		})
	}
	stopping.Wait()
	s.stopNow(p)
	s.await(p)
	if p.Err() != nil {
		s.Errorf("a pod that was stopped has error %v", p.Err())
	}
	if body, err := s.tryGet(p, "/"); err == nil {
		s.Errorf("a pod that was stopped answered %q", body)
	}
}

func (s suite) stopStubborn() {
	spec := s.spec(ignoresTerm)
	spec.StopGrace = 50 * time.Millisecond
	p := s.start(spec)
	s.stopNow(p)
	if p.Err() != nil {
		s.Errorf("a pod that had to be killed has error %v", p.Err())
	}
}

// Stop does not need its caller to stay for the grace.
func (s suite) stopOutlastsContext() {
	spec := s.spec(ignoresTerm)
	spec.StopGrace = 50 * time.Millisecond
	p := s.start(spec)
	ctx, cancel := context.WithCancelCause(s.Context())
	cancel(errGivenUp)
	if err := p.Stop(ctx); !errors.Is(err, errGivenUp) {
		s.Errorf("Stop answered %v, want the context's cause", err)
	}
	s.await(p)
}

func (s suite) children() {
	line := newLifeline(s.T, s.host)
	p := s.start(s.spec(serves))
	s.get(p, "/child?lifeline="+line.address())
	conn := line.take()
	s.stopNow(p)
	line.mustBeCut(conn)
}

func (s suite) childrenOfCrash() {
	line := newLifeline(s.T, s.host)
	p := s.start(s.spec(serves))
	s.get(p, "/child?lifeline="+line.address())
	conn := line.take()
	_, _ = s.tryGet(p, "/crash") // fails, as crash tests
	s.await(p)
	line.mustBeCut(conn)
}

func (s suite) manyAtOnce() {
	var starting sync.WaitGroup
	for i := range 20 {
		starting.Go(func() {
			spec := s.spec(serves)
			spec.SocketActivation = i%2 == 0
			p, err := s.driver.Start(s.Context(), spec)
			if err != nil {
				s.Error(err)
				return
			}
			if body, err := s.tryGet(p, "/"); err != nil || body != "ok" {
				s.Errorf("pod %d answered %q, %v", i, body, err)
			}
		})
	}
	starting.Wait()
}

func (s suite) closeStopsAll() {
	line := newLifeline(s.T, s.host)
	p := s.start(s.spec(serves, lifelineVariable+"="+line.address()))
	conn := line.take()
	for range 2 {
		if err := s.driver.Close(s.Context()); err != nil {
			s.Fatal(err)
		}
	}
	line.mustBeCut(conn)
	s.await(p)
	if p.Err() != nil {
		s.Errorf("a pod that was stopped has error %v", p.Err())
	}
	_ = s.startFails(s.spec(serves))
}

func (s suite) closeDuringStart() {
	line := newLifeline(s.T, s.host)
	failed := make(chan error, 1)
	go func() {
		_, err := s.driver.Start(s.Context(), s.spec(hangs, lifelineVariable+"="+line.address()))
		failed <- err
	}()
	conn := line.take()
	if err := s.driver.Close(s.Context()); err != nil {
		s.Error(err)
	}
	_ = s.mustBeStartError(nil, <-failed)
	line.mustBeCut(conn)
}

// What a pod flushes arrives while it goes on.
func (s suite) stream() {
	p := s.start(s.spec(serves))
	response, err := s.open(p, "/stream")
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, len("one"))
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "one" {
		s.Fatalf("got %q, %v", first, err)
	}
	s.get(p, "/release")
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != "two" {
		s.Errorf("got %q, %v", rest, err)
	}
}
