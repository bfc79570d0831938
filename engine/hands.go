package engine

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"dodil.io/ignite/stream"
)

// renewEvery is a third of the queue's usual patience, so that two renewals may be lost.
const renewEvery = 10 * time.Second

// hands is the jobs that this worker has, by execution. They are renewed together, and an execution that is delivered
// twice is recognised.
type hands struct {
	mu   sync.Mutex
	jobs map[string]inHand
}

// inHand is one of them.
type inHand struct {
	job *stream.Job
	// cut ends its call.
	cut context.CancelCauseFunc
	// revision is that of the record when this worker took it; 0 before.
	revision uint64
}

// take keeps job until drop; false if its execution is in hand already.
func (h *hands) take(job *stream.Job, cut context.CancelCauseFunc) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs == nil {
		h.jobs = make(map[string]inHand)
	}
	if _, has := h.jobs[job.Execution]; has {
		return false
	}
	h.jobs[job.Execution] = inHand{job: job, cut: cut}
	return true
}

// hold notes at which revision of its record the execution is held.
func (h *hands) hold(execution string, revision uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if in, has := h.jobs[execution]; has {
		in.revision = revision
		h.jobs[execution] = in
	}
}

// has reports whether the execution is in hand.
func (h *hands) has(execution string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, has := h.jobs[execution]
	return has
}

// cut ends the execution's call, and reports whether it is in hand.
func (h *hands) cut(execution string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	in, has := h.jobs[execution]
	if has {
		in.cut(errCut)
	}
	return has
}

// drop ends what take began. It does nothing to an execution that came again since.
func (h *hands) drop(job *stream.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs[job.Execution].job == job {
		delete(h.jobs, job.Execution)
	}
}

func (h *hands) all() []inHand {
	h.mu.Lock()
	defer h.mu.Unlock()
	jobs := make([]inHand, 0, len(h.jobs))
	for _, in := range h.jobs {
		jobs = append(jobs, in)
	}
	return jobs
}

// held answers those whose record is held.
func (h *hands) held() []inHand {
	return slices.DeleteFunc(h.all(), func(in inHand) bool { return in.revision == 0 })
}

// renew tells the queue again and again, until ctx ends, that the jobs in hand are alive, and calls review after each time. Most jobs are over
// before the first.
func (h *hands) renew(ctx context.Context, every time.Duration, review func(), log *slog.Logger) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, in := range h.all() {
			if err := in.job.Renew(); err != nil {
				log.DebugContext(ctx, "work not renewed", slog.String("execution", in.job.Execution), slog.Any("error", err))
			}
		}
		review()
	}
}
