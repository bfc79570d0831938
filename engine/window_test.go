package engine

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestWindowCountsTheLastMinute(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	now := moment
	w := newWindow(now)
	var all []time.Time
	for range 3000 {
		for range random.IntN(5) {
			w.add(now)
			all = append(all, now)
		}
		want := 0
		second := func(at time.Time) int64 { return int64(at.Sub(moment) / time.Second) }
		for _, at := range all {
			if second(at) > second(now)-windowSecs {
				want++
			}
		}
		if got := w.count(now); got != want {
			t.Fatalf("%d calls in the minute before %v, want %d", got, now.Sub(moment), want)
		}
		pause := time.Duration(random.IntN(3000)) * time.Millisecond
		if random.IntN(100) == 0 {
			pause = time.Duration(random.IntN(200)) * time.Second
		}
		now = now.Add(pause)
	}
}
