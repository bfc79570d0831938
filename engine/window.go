package engine

import "time"

// windowSecs is how many seconds REQUEST_RATE is averaged over.
const windowSecs = 60

// window counts what happened in each of the last seconds. It goes by the monotonic clock, so that a clock that is set does
// not stop it. It is not for concurrent use.
type window struct {
	began   time.Time
	seconds [windowSecs]uint32
	// at is the second since began that was last written to.
	at    int64
	total int
}

func newWindow(now time.Time) window { return window{began: now} }

// add counts one more.
func (w *window) add(now time.Time) {
	w.advance(now)
	w.seconds[w.at%windowSecs]++
	w.total++
}

// count answers how many there were in the last minute.
func (w *window) count(now time.Time) int {
	w.advance(now)
	return w.total
}

// advance empties the seconds that are a minute old.
func (w *window) advance(now time.Time) {
	second := int64(now.Sub(w.began) / time.Second)
	for ; w.at < second; w.at++ {
		if w.total == 0 {
			w.at = second
			return
		}
		next := (w.at + 1) % windowSecs
		w.total -= int(w.seconds[next])
		w.seconds[next] = 0
	}
}
