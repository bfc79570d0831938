package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports that pods bind themselves are taken from below the ranges that Linux and macOS use for outgoing connections: between our look
// and the pod's bind, a connection of anybody could else be given the port.
const (
	firstPort = 20000
	portCount = 10000
	portTries = 200
)

// ports remembers what was promised to pods that have not bound it yet.
type ports struct {
	mu    sync.Mutex
	taken map[int]struct{}
}

func (p *ports) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range portTries {
		port := firstPort + rand.IntN(portCount)
		if _, taken := p.taken[port]; !taken && isFree(port) {
			p.taken[port] = struct{}{}
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port among %d tried from %d to %d", portTries, firstPort, firstPort+portCount-1)
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp4", hostPort(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// giveBack takes back what take answered; other numbers are ignored.
func (p *ports) giveBack(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, port)
}

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
