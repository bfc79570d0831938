//go:build linux

package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Order is what a pod shall become. Its files stay the caller's.
type Order struct {
	// NewPID makes it the first process of a PID namespace of its own.
	NewPID bool
	// Dir is its working directory, as it is called in its confinement.
	Dir string
	// Env is all of its environment, each as "name=value".
	Env []string
	// Sockets are its descriptors from 3 up, Output its standard output and error.
	Sockets []*os.File
	Output  *os.File
	// Steps lead into its confinement, in their order. They are encoded as JSON and name Files by their index.
	Steps any
	Files []*os.File
}

// text is what only the pod reads.
type text struct {
	Dir     string   `json:"dir"`
	Env     []string `json:"env"`
	Sockets int      `json:"sockets"`
	Steps   any      `json:"steps"`
}

// Fault says that a pod was not forked or did not get into its confinement; nothing of the app ran, and nothing is left.
type Fault struct{ Reason string }

func (f *Fault) Error() string { return "fork from template: " + f.Reason }

// Fork makes a pod. It returns when the pod has entered its confinement and is about to run the app.
func (p *Parent) Fork(order Order) (*Child, error) {
	wire, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	child := &Child{wire: wire}
	err = errors.Join(p.order(order, theirs), theirs.Close())
	if err == nil {
		err = p.begin(child)
	}
	if err != nil {
		return nil, errors.Join(err, child.Close())
	}
	return child, nil
}

// order sends the order with its end of the wire.
func (p *Parent) order(order Order, wire *os.File) error {
	written, err := order.write()
	if err != nil {
		return fmt.Errorf("write order: %w", err)
	}
	defer written.Close()
	files := slices.Concat([]*os.File{written, wire, order.Output}, order.Sockets, order.Files)
	flag := []byte{0}
	if order.NewPID {
		flag[0] = 1
	}
	if err := send(p.orders, flag, files); err != nil {
		return fmt.Errorf("send order: %w", err)
	}
	return nil
}

// write writes what only the pod reads to a file that has no name, and so that it is read from its beginning.
func (o Order) write() (*os.File, error) {
	data, err := json.Marshal(text{Dir: o.Dir, Env: o.Env, Sockets: len(o.Sockets), Steps: o.Steps})
	if err != nil {
		return nil, err
	}
	descriptor, err := unix.MemfdCreate("order", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(descriptor), "order")
	if _, err := file.WriteAt(data, 0); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// begin follows the child into its confinement. A parent that takes too long is killed: what it does is not known any more.
func (p *Parent) begin(c *Child) error {
	if err := c.wire.SetDeadline(time.Now().Add(orderLimit)); err != nil {
		return err
	}
	err := c.begin()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.kill()
	}
	if err != nil {
		return err
	}
	return c.wire.SetDeadline(time.Time{})
}
