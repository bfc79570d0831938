package streamtest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// door is the address at which the other nodes reach one. What goes through can be cut while both ends live on.
type door struct {
	listener net.Listener
	passing  sync.WaitGroup

	mu sync.Mutex
	// behind is the node's own address, empty while the door is shut.
	behind string
	conns  map[net.Conn]struct{}
}

func openDoor(t testing.TB) *door {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen for routes: %v", err)
	}
	d := &door{listener: listener, conns: make(map[net.Conn]struct{})}
	d.passing.Go(d.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		d.shut()
		d.passing.Wait()
	})
	return d
}

func (d *door) address() string { return d.listener.Addr().String() }

// open lets connections through to a node that has started.
func (d *door) open(behind string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behind = behind
}

// shut cuts all connections and lets none through.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behind = ""
	for conn := range d.conns {
		_ = conn.Close()
	}
}

func (d *door) accept() {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.passing.Go(func() { d.pass(conn) })
	}
}

// pass carries bytes both ways until one side ends.
func (d *door) pass(from net.Conn) {
	defer d.leave(from)
	to, ok := d.enter(from)
	if !ok {
		return
	}
	defer d.leave(to)
	var back sync.WaitGroup
	back.Go(func() {
		defer func() { _ = from.Close() }()
		_, _ = io.Copy(from, to)
	})
	_, _ = io.Copy(to, from)
	_ = to.Close()
	back.Wait()
}

// enter connects to the node behind the door.
func (d *door) enter(from net.Conn) (to net.Conn, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.behind == "" {
		return nil, false
	}
	to, err := net.Dial("tcp", d.behind)
	if err != nil {
		return nil, false
	}
	d.conns[from], d.conns[to] = struct{}{}, struct{}{}
	return to, true
}

func (d *door) leave(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, conn)
	_ = conn.Close()
}
