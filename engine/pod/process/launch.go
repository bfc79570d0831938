package process

import (
	"errors"
	"fmt"
	"os"

	"dodil.io/ignite/engine/pod"
)

// launch starts the program of spec and answers its pod, which may not be ready yet. After an error nothing is left.
func (d *Driver) launch(spec pod.Spec) (*process, error) {
	h, err := newHome(d.dir)
	if err != nil {
		return nil, fmt.Errorf("make home: %w", err)
	}
	c, err := d.jail.confine(spec, h)
	if err != nil {
		return nil, errors.Join(err, h.remove())
	}
	p, err := d.launchIn(h, c, spec)
	if err != nil {
		return nil, errors.Join(err, c.remove(), h.remove())
	}
	err = h.record(p.pid()) // before run takes note of an exit, so that there is a process to look up
	go p.run()
	if err != nil {
		p.kill()
		<-p.done
		return nil, fmt.Errorf("record process: %w", err)
	}
	if !d.keep(p) {
		p.kill()
		<-p.done
		return nil, errClosed
	}
	return p, nil
}

func (d *Driver) launchIn(h home, c *confinement, spec pod.Spec) (*process, error) {
	socket, port, err := d.open(spec)
	if err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	// The pod has its own copy once it is started, and must have the only one: calls to a socket without a process hang.
	defer socket.Close()
	further, err := d.furtherPorts(spec)
	if err != nil {
		d.giveBack(port, further)
		return nil, fmt.Errorf("find a port: %w", err)
	}
	spec.Env = withPorts(spec.Env, further)
	p, err := d.launchAt(h, c, spec, port, socket)
	if err != nil {
		d.giveBack(port, further)
		return nil, err
	}
	p.further = further
	return p, nil
}

// open answers the port where spec will serve, and the socket of it if the pod does not open it by itself.
func (d *Driver) open(spec pod.Spec) (*os.File, int, error) {
	if spec.SocketActivation {
		return socket()
	}
	port, err := d.ports.take()
	return nil, port, err
}

func (d *Driver) launchAt(h home, c *confinement, spec pod.Spec, port int, socket *os.File) (*process, error) {
	p := newProcess(d, spec, h, c, port)
	if d.templates.fork(p, socket) {
		return p, nil
	}
	cmd, err := command(spec, c, port, socket)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if p.program, err = spawn(cmd, c); err != nil {
		return nil, fmt.Errorf("run %q: %w", spec.Command[0], err)
	}
	return p, nil
}
