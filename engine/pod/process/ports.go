package process

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"dodil.io/ignite/engine/pod"
)

// Ports that pods bind themselves are taken from below the ranges that Linux and macOS use for outgoing connections: between our look
// and the pod's bind, a connection of anybody could else be given the port.
const (
	firstPort = 20000
	portCount = 10000
	portTries = 200
	// defaultPort is what a pod has that declares none.
	defaultPort = 80
)

// ports remembers what was promised to pods that have not bound it yet, and keeps it from the other servers of this machine.
type ports struct {
	mu    sync.Mutex
	taken map[int]io.Closer
}

func (p *ports) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range portTries {
		port := firstPort + rand.IntN(portCount)
		if _, taken := p.taken[port]; taken {
			continue
		}
		reservation, err := reserve(port)
		if err != nil {
			continue // another server's
		}
		if isFree(port) {
			p.taken[port] = reservation
			return port, nil
		}
		_ = reservation.Close() // there is nothing in it
	}
	return 0, fmt.Errorf("no free port among %d tried from %d to %d", portTries, firstPort, firstPort+portCount-1)
}

// isFree binds the port for a moment. No program may be forked in that moment: it would keep the port until it runs, and until then the pod could
// not have it.
func isFree(port int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return false
	}
	bound := unix.Bind(socket, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	return errors.Join(bound, unix.Close(socket)) == nil
}

// giveBack takes back what take answered; other numbers are ignored.
func (p *ports) giveBack(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reservation, taken := p.taken[port]; taken {
		_ = reservation.Close() // there is nothing in it
		delete(p.taken, port)
	}
}

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// primaryPort is the one of the Spec's Ports that is served at $PORT.
func primaryPort(spec pod.Spec) uint32 {
	if len(spec.Ports) == 0 {
		return defaultPort
	}
	return spec.Ports[0]
}

// furtherPorts answers local ports for those that spec declares behind the first. What it answers with an error is to be given back, too.
func (d *Driver) furtherPorts(spec pod.Spec) (map[uint32]int, error) {
	further := make(map[uint32]int)
	for _, port := range spec.Ports[min(1, len(spec.Ports)):] {
		if _, known := further[port]; known || port == primaryPort(spec) {
			continue
		}
		local, err := d.ports.take()
		if err != nil {
			return further, err
		}
		further[port] = local
	}
	return further, nil
}

// withPorts tells a program in PORT_<declared> where to serve.
func withPorts(env map[string]string, further map[uint32]int) map[string]string {
	if len(further) == 0 {
		return env
	}
	all := make(map[string]string, len(env)+len(further))
	maps.Copy(all, env)
	for port, local := range further {
		all["PORT_"+strconv.FormatUint(uint64(port), 10)] = strconv.Itoa(local)
	}
	return all
}

func (d *Driver) giveBack(port int, further map[uint32]int) {
	d.ports.giveBack(port)
	for _, local := range further {
		d.ports.giveBack(local)
	}
}
