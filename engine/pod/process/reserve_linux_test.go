package process

import (
	"io"
	"testing"
)

// Two servers of one machine promise no port twice, though neither's pods have bound one yet.
func TestServersShareThePorts(t *testing.T) {
	t.Parallel()
	one, two := ports{taken: make(map[int]io.Closer)}, ports{taken: make(map[int]io.Closer)}
	for range 300 {
		for _, p := range []*ports{&one, &two} {
			port, err := p.take()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.giveBack(port) })
		}
	}
	for port := range one.taken {
		if _, twice := two.taken[port]; twice {
			t.Errorf("port %d is promised twice", port)
		}
	}
}
