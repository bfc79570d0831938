package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"dodil.io/ignite/stream"
)

const (
	// forecastEvery is how often a pool is told again how much waits, and how often that is asked for if no job was taken meanwhile.
	forecastEvery = 2 * time.Second
	// forecastPause is how long a number holds that is not the last: a queue that is worked off says another with every pull.
	forecastPause = 250 * time.Millisecond
)

// forecast tells the pool of an app about how much work waits in its queue.
type forecast struct {
	tell func(waiting int)

	mu sync.Mutex
	// told is what was said last, at the time at.
	told int
	at   time.Time
	// fresh says that a number was learned since the last look, grown that work was enqueued.
	fresh, grown bool
}

// learn takes note of what every job that is taken says, so that a queue which is worked off is never asked.
func (f *forecast) learn(waiting int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fresh = true
	if waiting != f.told && (waiting == 0 || time.Since(f.at) >= forecastPause) {
		f.say(waiting)
	}
}

// grow notes that there may be more.
func (f *forecast) grow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grown = true
}

func (f *forecast) say(waiting int) {
	f.told, f.at = waiting, time.Now()
	f.tell(waiting)
}

// follow says again and again how much waits, until ctx ends, and that it is nothing then: the queue is empty, or is not taken from here.
func (f *forecast) follow(ctx context.Context, queue *stream.Queue, log *slog.Logger) {
	ticker := time.NewTicker(forecastEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := f.look(ctx, queue); err != nil && ctx.Err() == nil {
				log.DebugContext(ctx, "cannot count what waits", slog.Any("error", err))
			}
		case <-ctx.Done():
			f.mu.Lock()
			defer f.mu.Unlock()
			f.say(0)
			return
		}
	}
}

// look says what is known, and asks first if that is old and may be wrong, or if nothing was left and more came since.
func (f *forecast) look(ctx context.Context, queue *stream.Queue) error {
	waiting := queue.Waiting()
	f.mu.Lock()
	ask := f.grown && waiting == 0 || !f.fresh && waiting > 0
	f.fresh, f.grown = false, false
	f.mu.Unlock()
	if ask {
		counted, err := queue.Count(ctx)
		if err != nil {
			return err
		}
		waiting = counted
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if waiting > 0 || f.told > 0 {
		f.say(waiting)
	}
	return nil
}
