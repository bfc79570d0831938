package probe

import (
	"testing"
	"time"
)

func TestDelay(t *testing.T) {
	t.Parallel()
	for gone, want := range map[time.Duration]time.Duration{
		0:                      time.Millisecond,
		5 * time.Millisecond:   time.Millisecond,
		100 * time.Millisecond: 10 * time.Millisecond,
		time.Hour:              50 * time.Millisecond,
	} {
		if got := delay(gone); got != want {
			t.Errorf("after %v the next look is in %v, want %v", gone, got, want)
		}
	}
}
