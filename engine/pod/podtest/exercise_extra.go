package podtest

import (
	"time"

	"dodil.io/ignite/engine/pod"
)

// ports: the first that an app declares is the one that its program finds in $PORT, and what it does not declare is nowhere.
func (s suite) ports() {
	spec := s.spec(serves)
	spec.Ports = []uint32{8080, 9090}
	p := s.start(spec)
	first, second := p.AddrOf(8080), p.AddrOf(9090)
	if first == nil || first.String() != p.Addr().String() || second == nil || p.AddrOf(80) != nil || p.AddrOf(1) != nil {
		s.Errorf("serves at %v, and its ports at %v, %v, %v and %v", p.Addr(), first, second, p.AddrOf(80), p.AddrOf(1))
	}
	p = s.start(s.spec(serves))
	if addr := p.AddrOf(80); addr == nil || addr.String() != p.Addr().String() || p.AddrOf(8080) != nil {
		s.Errorf("without ports it serves at %v, and %v and %v", p.Addr(), addr, p.AddrOf(8080))
	}
}

// freeze: calls to a frozen pod wait until it is thawed, and one that is frozen can be stopped.
func (s suite) freeze() {
	p := s.start(s.spec(serves))
	freezer, ok := p.(pod.Freezer)
	if !ok {
		s.Skip("pods of this driver cannot be frozen")
	}
	s.try(freezer.Freeze(s.Context()))
	answered := make(chan error, 1)
	go func() {
		_, err := s.tryGet(p, "/")
		answered <- err
	}()
	select {
	case err := <-answered:
		s.Fatalf("a frozen pod answered: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if bytes, err := freezer.MemoryBytes(); err != nil || bytes < 100<<10 {
		s.Errorf("a frozen pod holds %d bytes, %v", bytes, err)
	}
	s.try(freezer.Thaw(s.Context()))
	s.try(<-answered)
	s.try(freezer.Freeze(s.Context()))
	s.stopNow(p)
	if p.Err() != nil {
		s.Errorf("a pod that was stopped while it was frozen has error %v", p.Err())
	}
	if freezer.Freeze(s.Context()) == nil || freezer.Thaw(s.Context()) == nil {
		s.Error("a pod that is gone was frozen or thawed")
	}
}

func (s suite) try(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}
