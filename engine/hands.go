package engine

import (
	"context"
	"log/slog"
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
	jobs map[string]*stream.Job
}

// take keeps job until drop; false if its execution is in hand already.
func (h *hands) take(job *stream.Job) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs == nil {
		h.jobs = make(map[string]*stream.Job)
	}
	if h.jobs[job.Execution] != nil {
		return false
	}
	h.jobs[job.Execution] = job
	return true
}

// has reports whether the execution is in hand.
func (h *hands) has(execution string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.jobs[execution] != nil
}

func (h *hands) drop(job *stream.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.jobs, job.Execution)
}

func (h *hands) all() []*stream.Job {
	h.mu.Lock()
	defer h.mu.Unlock()
	jobs := make([]*stream.Job, 0, len(h.jobs))
	for _, job := range h.jobs {
		jobs = append(jobs, job)
	}
	return jobs
}

// renew tells the queue again and again, until ctx ends, that the jobs in hand are alive. Most jobs are over before the first time.
func (h *hands) renew(ctx context.Context, every time.Duration, log *slog.Logger) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, job := range h.all() {
			if err := job.Renew(); err != nil {
				log.DebugContext(ctx, "work not renewed", slog.String("execution", job.Execution), slog.Any("error", err))
			}
		}
	}
}
