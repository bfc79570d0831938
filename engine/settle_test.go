package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/store"
)

func TestFullStoreIsNotAskedForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := idleAttempt(t)
		began := time.Now()
		tries := 0
		e, stored := a.insist(t.Context(), func(error, time.Duration) (store.Execution, error) {
			tries++
			return store.Execution{}, fmt.Errorf("update execution: %w", store.ErrFull)
		})
		if stored || e.verb != giveBack || e.after != holderPatience {
			t.Errorf("job ends %+v, stored %v; want it given back for a while", e, stored)
		}
		if took := time.Since(began); took < 2*roomPatience || took > 3*roomPatience || tries < 5 {
			t.Errorf("%d tries in %v", tries, took)
		}
	})
}

// What may pass is waited for as long as calls may go on, whatever it takes.
func TestStoreThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := idleAttempt(t)
		ctx, stop := context.WithCancelCause(t.Context())
		back := time.Now().Add(time.Hour)
		var last error
		try := func(failed error, _ time.Duration) (store.Execution, error) {
			last = failed
			if time.Now().Before(back) {
				return store.Execution{}, store.ErrUnavailable
			}
			return store.Execution{}, nil
		}
		if e, stored := a.insist(ctx, try); !stored || !errors.Is(last, store.ErrUnavailable) {
			t.Errorf("job ends %+v, stored %v, last failure %v", e, stored, last)
		}
		back = back.Add(time.Hour)
		time.AfterFunc(time.Minute, func() { stop(errStopping) })
		if e, stored := a.insist(ctx, try); stored || e.verb != giveBack || e.after != 0 {
			t.Errorf("when the server stops the job ends %+v, stored %v; want it given back at once", e, stored)
		}
	})
}

// idleAttempt is one that holds nothing but a log.
func idleAttempt(t *testing.T) *attempt {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return &attempt{worker: &worker{log: log, dispatch: &dispatcher{draining: make(chan struct{})}}}
}

func TestAnswerIsLetGoWhenNothingElseHelps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		waited time.Duration
		want   bool
	}{
		{nil, 0, false},
		{store.ErrUnavailable, time.Hour, false},
		{store.ErrTooLarge, 0, true},
		{fmt.Errorf("%w: %w", errNoRoom, store.ErrFull), 0, true},
		{store.ErrFull, time.Second, false},
		{store.ErrFull, roomPatience + 1, true},
	} {
		if got := cannotBeKept(c.err, c.waited); got != c.want {
			t.Errorf("%v after %v: the answer is let go: %v, want %v", c.err, c.waited, got, c.want)
		}
	}
}

func TestOutcomeWithoutItsAnswerSaysWhy(t *testing.T) {
	t.Parallel()
	o := outcome{response: 200, result: []byte("much")}.answered().withoutAnswer(store.ErrFull)
	const message = "the app answered 200 with 4 bytes, but they could not be kept: storage is full"
	if o.status != store.Failed || o.fault.Code != codeInternal || o.fault.Message != message || o.result != nil {
		t.Errorf("outcome %+v, fault %+v", o, o.fault)
	}
	refused := outcome{response: 404, result: []byte("much")}.answered().withoutAnswer(store.ErrFull)
	const refusal = "the app answered 404 Not Found; its 4 bytes could not be kept: storage is full"
	if refused.fault.Code != codeAppError || refused.fault.Message != refusal || refused.result != nil {
		t.Errorf("outcome %+v, fault %+v", refused, refused.fault)
	}
	early := failed(store.Timeout, codeMaxAge, "too old")
	if late := early.withoutAnswer(store.ErrFull); late.status != store.Timeout || *late.fault != *early.fault {
		t.Errorf("an end without an answer became %+v, fault %+v", late, late.fault)
	}
}
