package pod

import (
	"context"
	"time"
)

// The names of the clocks in a TimeoutError.
const (
	ClockColdStart = "cold start"
	ClockFirstByte = "first byte"
	ClockIdle      = "idle"
	ClockTotal     = "total"
)

// Clocks are the limits of one call; 0 is no limit. The one that ran out is named by a *TimeoutError.
type Clocks struct {
	// Total runs from the hand-over to the pod until the last byte of its answer.
	Total time.Duration
	// FirstByte runs until the answer's head.
	FirstByte time.Duration
	// Idle runs between two bytes of the answer, while somebody waits for the second.
	Idle time.Duration
}

// TimeoutError says which clock ran out.
type TimeoutError struct {
	// Clock is "cold start", "first byte", "idle" or "total".
	Clock string
	Limit time.Duration
}

func (e *TimeoutError) Error() string {
	return "the " + e.Clock + " timeout of " + e.Limit.String() + " ran out"
}

// Timeout is true, as net.Error has it.
func (e *TimeoutError) Timeout() bool { return true }

// Is makes every clock a context.DeadlineExceeded for callers who do not care which.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// clock cancels a call when it runs out. The nil clock never does.
type clock struct {
	limit time.Duration
	timer *time.Timer
}

// newClock makes a clock that does not run yet.
func newClock(name string, limit time.Duration, cancel context.CancelCauseFunc) *clock {
	if limit <= 0 {
		return nil
	}
	timer := time.AfterFunc(limit, func() { cancel(&TimeoutError{Clock: name, Limit: limit}) })
	timer.Stop()
	return &clock{limit: limit, timer: timer}
}

func (c *clock) start() {
	if c != nil {
		c.timer.Reset(c.limit)
	}
}

func (c *clock) stop() {
	if c != nil {
		c.timer.Stop()
	}
}
