package engine

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestMoverBeginsAgainAfterAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &worker{log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		var began []time.Duration
		start := time.Now()
		w.moveDue(ctx, func(ctx context.Context) error {
			began = append(began, time.Since(start))
			switch len(began) {
			case 3:
				elapse(time.Hour) // it works for a while
			case 5:
				cancel()
				<-ctx.Done()
			}
			return errors.New("connection is gone")
		})
		if len(began) != 5 {
			t.Fatalf("it began at %v, want five times", began)
		}
		for n, most := range []time.Duration{time.Second, 2 * time.Second, time.Hour + time.Second, 2 * time.Second} {
			least := most / 2
			if n == 2 {
				least = time.Hour + time.Second/2 // what had worked for a while fails for the first time again
			}
			if pause := began[n+1] - began[n]; pause < least || pause > most {
				t.Errorf("beginning %d came %v after the one before, want %v to %v", n+2, pause, least, most)
			}
		}
	})
}
