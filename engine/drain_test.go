package engine

import (
	"testing"
	"testing/synctest"
	"time"
)

// A stop takes the drain time once, however long the gateway drains before the engine does.
func TestDrainTimeBeginsWithStopTaking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{config: Config{DrainTime: 30 * time.Second}, untaken: make(chan struct{})}
		if got := e.drainLeft(); got != 30*time.Second {
			t.Errorf("%v are left before the stop", got)
		}
		e.StopTaking()
		elapse(20 * time.Second)
		e.StopTaking()
		if got := e.drainLeft(); got != 10*time.Second {
			t.Errorf("%v are left after 20 s", got)
		}
		elapse(time.Minute)
		if got := e.drainLeft(); got != 0 {
			t.Errorf("%v are left in the end", got)
		}
	})
}
