package engine

import (
	"context"
	"time"
)

// phase is where a job is on its way through this worker.
type phase int

const (
	unknown  phase = iota
	entering       // taken, without a slot
	placed         // in a pod
	settling       // its outcome is being stored
	ended
)

// progress counts one job in its phase. It is not for concurrent use.
type progress struct {
	taker *taker
	now   phase
	// began is when it was given to a pod.
	began time.Time
	// body and object are the bytes that it has.
	body, object int64
}

func (p *progress) move(next phase) {
	p.count(next)
	switch {
	case next == placed:
		p.began = time.Now()
	case p.now == placed:
		p.taker.pace.observe(time.Since(p.began))
	}
	if next == ended {
		p.taker.place.release(1)
		p.taker.body.release(p.body)
		p.taker.object.release(p.object)
	}
	p.now = next
	signal(p.taker.moved)
}

func (p *progress) count(next phase) {
	p.taker.count.Lock()
	defer p.taker.count.Unlock()
	p.taker.in[p.now]--
	p.taker.in[next]++
}

// makeRoom waits until the process has memory for a large body of the job. It keeps it until the job has ended.
func (p *progress) makeRoom(ctx context.Context, bytes int64) (err error) {
	p.object, err = p.taker.object.take(ctx, bytes, bytes)
	return err
}

// inHand counts the app's jobs.
func (t *taker) inHand() int {
	t.count.Lock()
	defer t.count.Unlock()
	return t.in[entering] + t.in[placed] + t.in[settling]
}
