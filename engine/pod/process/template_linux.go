package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process/template"
)

// templateTries is how often in a row a template may end before it has forked anything, until pods do without it.
const templateTries = 2

// templates are the warm parents that pods are forked from. A pod whose template is not warm is started plainly: the first ones,
// while it warms, and all where it cannot be.
type templates struct {
	dir     string
	logger  *slog.Logger
	keepers sync.WaitGroup

	mu     sync.Mutex
	closed bool
	warm   map[string]*warmTemplate
}

// warmTemplate is the parent of all pods with one template, whichever of them it is at the moment.
type warmTemplate struct {
	parent *template.Parent // nil until it is warm, and when it has ended
	forked bool             // the parent has proven that it can
	end    context.CancelFunc
}

func newTemplates(dir string, logger *slog.Logger) *templates {
	return &templates{dir: dir, logger: logger, warm: make(map[string]*warmTemplate)}
}

// fork makes p's program by its template, and answers false when it has to be started plainly.
func (t *templates) fork(p *process, socket *os.File) bool {
	if p.spec.Template == nil || socket == nil {
		return false
	}
	if _, err := lookUp(p.spec); err != nil {
		return false // a plain start says why
	}
	parent := t.parent(p)
	if parent == nil {
		return false
	}
	made, err := fork(parent, p, socket)
	if err != nil {
		p.logger.Warn("a pod is started without its template", slog.Any("error", err))
		return false
	}
	p.program = made
	t.forked(p.spec.Template.Name)
	return true
}

// parent answers the parent of p if it is warm, and sees to it that there is going to be one if p can be forked at all.
func (t *templates) parent(p *process) *template.Parent {
	t.mu.Lock()
	defer t.mu.Unlock()
	wanted := *p.spec.Template
	if w := t.warm[wanted.Name]; w != nil {
		return w.parent
	}
	if t.closed {
		return nil
	}
	way, err := p.limits.entry()
	closeAll(way.Files)
	ctx, cancel := context.WithCancel(context.Background())
	w := &warmTemplate{end: cancel}
	t.warm[wanted.Name] = w
	if err != nil {
		t.logger.Warn("pods are started without their template", slog.String("template", wanted.Name), slog.Any("error", err))
		return nil
	}
	t.keepers.Go(func() { t.keep(ctx, w, wanted) })
	return nil
}

func (t *templates) forked(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.warm[name].forked = true
}

// keep keeps a template warm until ctx ends, or until that has proven to be hopeless.
func (t *templates) keep(ctx context.Context, w *warmTemplate, wanted pod.Template) {
	logger := t.logger.With(slog.String("template", wanted.Name))
	for failed := 0; failed < templateTries; {
		forked, err := t.keepOne(ctx, w, wanted)
		if ctx.Err() != nil {
			return
		}
		if forked {
			failed = 0
		} else {
			failed++
		}
		logger.WarnContext(ctx, "a template of pods ended", slog.Any("error", err))
	}
	logger.WarnContext(ctx, "pods are started without their template from now on")
}

// keepOne starts a parent and returns when it has ended, however it does, and when ctx does.
func (t *templates) keepOne(ctx context.Context, w *warmTemplate, wanted pod.Template) (forked bool, err error) {
	running, err := startTemplate(ctx, t.dir, wanted)
	if err != nil {
		return false, err
	}
	t.offer(w, running.parent)
	select {
	case <-running.parent.Done():
	case <-ctx.Done():
	}
	forked = t.withdraw(w)
	return forked, running.close()
}

func (t *templates) offer(w *warmTemplate, parent *template.Parent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.parent, w.forked = parent, false
}

func (t *templates) withdraw(w *warmTemplate) (forked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.parent = nil
	return w.forked
}

// close ends all parents. It comes when no pod is left or starting.
func (t *templates) close() {
	t.mu.Lock()
	t.closed = true
	for _, w := range t.warm {
		w.end()
	}
	t.mu.Unlock()
	t.keepers.Wait()
}

// fork makes the program of p.
func fork(parent *template.Parent, p *process, socket *os.File) (*forked, error) {
	env, err := environment(p.spec, p.limits, p.port)
	if err != nil {
		return nil, err
	}
	way, err := p.limits.entry()
	if err != nil {
		return nil, fmt.Errorf("find the way into the confinement: %w", err)
	}
	defer closeAll(way.Files)
	output, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	child, err := parent.Fork(template.Order{
		NewPID:  slices.ContainsFunc(way.Steps, step.isNewPID),
		Dir:     p.spec.Dir,
		Env:     env,
		Sockets: []*os.File{socket},
		Output:  theirs,
		Steps:   slices.DeleteFunc(slices.Clone(way.Steps), step.isNewPID),
		Files:   way.Files,
	})
	if err != nil {
		return nil, errors.Join(err, output.Close())
	}
	f := &forked{child: child, output: output, read: make(chan struct{})}
	go f.readTo(p.log)
	return f, nil
}

func (s step) isNewPID() bool { return s.NewPID }

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}

// forked is a program that a template has forked.
type forked struct {
	child  *template.Child
	output *os.File
	read   chan struct{} // the output has ended, or nobody waits for it any longer
}

func (f *forked) readTo(log io.Writer) {
	defer close(f.read)
	_, _ = io.Copy(log, f.output) // ends with the program, or with wait's patience
}

func (f *forked) pid() int { return f.child.PID }

func (f *forked) wait(ended func()) string {
	status, err := f.child.Wait()
	ended()
	_ = f.output.SetReadDeadline(time.Now().Add(pipeDelay)) // a pipe can have one
	<-f.read
	_ = errors.Join(f.output.Close(), f.child.Close()) // there is nothing left to lose
	if err != nil {
		return "it was ended, because " + template.ErrOrphaned.Error()
	}
	return statusReason(syscall.WaitStatus(status))
}

func (f *forked) signal(number syscall.Signal) {
	_ = f.child.Signal(number) // fails only if all have exited
}
