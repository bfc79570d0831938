package process

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/logs"
	"dodil.io/ignite/engine/pod/process/template"
)

const (
	// templateLimit is how long a template may take until it is warm; a fraction of a second is usual.
	templateLimit = time.Minute
	// environmentRoom is for what a forked pod shows as its environment, in place of its template's.
	environmentRoom = 4 << 10
)

// runningTemplate is a parent and what belongs to it.
type runningTemplate struct {
	parent  *template.Parent
	program *spawned
	home    home
	log     *logs.Tail
}

// startTemplate returns when the template is warm. It is not confined, as it has to know the way into every confinement; no app's
// code runs in it. Its home tells a later server about it, as with pods.
func startTemplate(ctx context.Context, dir string, wanted pod.Template) (*runningTemplate, error) {
	h, err := newHome(dir)
	if err != nil {
		return nil, fmt.Errorf("make home: %w", err)
	}
	r := &runningTemplate{home: h, log: new(logs.Tail)}
	if err := r.start(ctx, wanted); err != nil {
		return nil, errors.Join(r.explained(err), h.remove())
	}
	return r, nil
}

func (r *runningTemplate) start(ctx context.Context, wanted pod.Template) error {
	c, err := unconfined().confine(pod.Spec{}, r.home)
	if err != nil {
		return err
	}
	command, err := r.command(c, wanted)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, templateLimit)
	defer cancel()
	r.parent, err = template.Start(ctx, command, func(command *exec.Cmd) error {
		r.program, err = spawn(command, c)
		return err
	})
	if err != nil {
		return err
	}
	if err := r.home.record(r.parent.PID()); err != nil {
		return errors.Join(fmt.Errorf("record process: %w", err), r.parent.Close())
	}
	return nil
}

func (r *runningTemplate) command(c *confinement, wanted pod.Template) (*exec.Cmd, error) {
	env, err := environment(pod.Spec{Env: wanted.Env}, c, 0)
	if err != nil {
		return nil, err
	}
	command := exec.Command(wanted.Command[0], wanted.Command[1:]...)
	command.Dir = r.home.homeDir()
	command.Env = append(env, "IGNITE_ROOM="+strings.Repeat("-", environmentRoom))
	command.Stdout, command.Stderr = r.log, r.log
	command.WaitDelay = pipeDelay
	command.SysProcAttr = c.attributes()
	return command, nil
}

// close ends the template and returns when nothing is left of it. The error says why it had ended before.
func (r *runningTemplate) close() error {
	var err error
	select {
	case <-r.parent.Done():
		err = r.explained(r.parent.Err())
	default:
	}
	return errors.Join(err, r.parent.Close(), r.remove())
}

func (r *runningTemplate) remove() error {
	<-r.program.exited
	if !awaitGone(r.parent.PID(), r.home, goneLimit) {
		return errors.New("processes of the template are still there")
	}
	return r.home.remove()
}

// explained adds what the template printed last.
func (r *runningTemplate) explained(err error) error {
	if lines := r.log.Lines(); len(lines) > 0 {
		return fmt.Errorf("%w; last log lines:\n%s", err, strings.Join(lines, "\n"))
	}
	return err
}
