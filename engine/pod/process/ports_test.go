package process

import (
	"io"
	"testing"
)

func TestPortsAreGivenOnce(t *testing.T) {
	t.Parallel()
	p := ports{taken: make(map[int]io.Closer)}
	for range 50 {
		port, err := p.take()
		if err != nil {
			t.Fatal(err)
		}
		if port < firstPort || port >= firstPort+portCount {
			t.Errorf("port %d is outside the range", port)
		}
	}
	if len(p.taken) != 50 {
		t.Errorf("50 pods were promised %d ports", len(p.taken))
	}
	for port := range p.taken {
		p.giveBack(port)
	}
	if len(p.taken) != 0 {
		t.Errorf("%d ports stay taken", len(p.taken))
	}
}

func TestPortsAreFree(t *testing.T) {
	t.Parallel()
	socket, port, err := socket()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if isFree(port) {
		t.Error("a port in use is called free")
	}
}
