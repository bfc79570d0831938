package engine

import (
	"errors"
	"fmt"
	"testing"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// What is not the app's doing is tried again, however it is wrapped; what is its doing is an end.
func TestHandsBack(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		pod.ErrBusy:               true,
		errEvicted:                true,
		store.ErrUnavailable:      true,
		stream.ErrUnavailable:     true, // the output could not be published
		stream.ErrTooLarge:        false,
		pod.ErrBroken:             false,
		errResultTooLarge:         false,
		errors.New("another one"): false,
	} {
		if got := handsBack(fmt.Errorf("publish output: %w", err)); got != want {
			t.Errorf("%v hands back: %v, want %v", err, got, want)
		}
	}
}
