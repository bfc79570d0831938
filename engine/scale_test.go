package engine

import (
	"testing"
	"time"
)

func TestDesired(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		load load
		want int
	}{
		"nothing":                            {load{idleAfter: time.Minute, used: now}, 0},
		"a call waits":                       {load{waiting: 1}, 1},
		"many calls wait":                    {load{waiting: 1000}, 1},
		"a call runs":                        {load{running: 1, inFlight: 1, used: ago(time.Hour), idleAfter: time.Minute}, 1},
		"idle within the period":             {load{running: 1, used: ago(59 * time.Second), idleAfter: time.Minute}, 1},
		"idle for the period":                {load{running: 1, used: ago(60 * time.Second), idleAfter: time.Minute}, 0},
		"died within the period":             {load{running: 0, used: ago(time.Second), idleAfter: time.Minute}, 0},
		"reserved":                           {load{reserved: 1, used: ago(time.Hour), idleAfter: time.Minute}, 1},
		"reserved more than can be had yet":  {load{reserved: 3}, 1},
		"reserved and running for long idle": {load{running: 1, reserved: 1, used: ago(time.Hour), idleAfter: time.Minute}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := desired(now, c.load); got != c.want {
				t.Errorf("desired(%+v) = %d, want %d", c.load, got, c.want)
			}
		})
	}
}
