package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// submit does what a gateway does, and may die at any point of it.
func (w *world) submit() { w.submitWithin(worldReapAfter / 2) }

func (w *world) submitWithin(limit time.Duration) {
	r := w.newRequest()
	w.requests = append(w.requests, r)
	w.stage.expect(r)
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	effects := w.effectsOf(r)
	dies := len(effects)
	if w.chance(15) {
		dies = w.random.IntN(len(effects))
	}
	for _, effect := range effects[:dies] {
		if effect(ctx) != nil {
			return
		}
	}
	r.accepted = dies == len(effects)
}

// effectsOf answers the effects of a submission: record and work are written side by side, so either may be first.
func (w *world) effectsOf(r *request) []func(context.Context) error {
	head := pod.Head{Identity: pod.Identity{ExecutionID: r.id, FunctionID: testApp.String(), OrganizationID: caller}, Object: r.object()}
	request, err := pod.EncodeHead(head)
	if err != nil {
		w.t.Fatalf("encode head: %v", err)
	}
	work := stream.Work{Execution: r.id, Owner: caller, App: appOf(testApp), Request: request, Body: r.body}
	if r.object() != "" {
		work.Body = nil
	}
	effects := []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := w.gateway.store.CreateExecution(ctx, r.record())
			return err
		},
		func(ctx context.Context) error {
			if r.notBefore.IsZero() {
				return w.gateway.stream.Enqueue(ctx, work)
			}
			return w.gateway.stream.EnqueueLater(ctx, work, r.notBefore, false)
		},
	}
	if w.chance(50) {
		slices.Reverse(effects)
	}
	if r.object() != "" {
		put := func(ctx context.Context) error { return w.gateway.store.PutPayload(ctx, r.object(), r.body) }
		effects = slices.Insert(effects, 0, put)
	}
	return append(effects, w.gateway.store.Sync)
}

// cancel does what a gateway does, and may die after it wrote the record.
func (w *world) cancel() {
	if len(w.requests) == 0 {
		return
	}
	recent := w.requests[max(len(w.requests)-20, 0):]
	r := recent[w.random.IntN(len(recent))]
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	record, err := w.writeCancelled(ctx, r)
	if err != nil || w.chance(20) || w.gateway.store.Sync(ctx) != nil {
		return
	}
	if record.Worker != "" {
		_, _ = w.gateway.stream.Ask(ctx, stream.CancelTopic(record.Worker), []byte(r.id), time.Second) // only a hint
		return
	}
	if r.object() != "" && w.gateway.store.DeletePayload(ctx, r.object()) != nil {
		return
	}
	_ = w.gateway.stream.Remove(ctx, appOf(testApp), r.id) // or a worker finds a record that has ended
}

func (w *world) writeCancelled(ctx context.Context, r *request) (store.Execution, error) {
	for {
		record, err := w.gateway.store.Execution(ctx, caller, r.id)
		if err != nil {
			return record, err
		}
		if record.Status.Terminal() {
			return record, errors.New("it has ended")
		}
		r.cancelled = true // also if the answer is lost
		if record.Status == store.Pending {
			record.Worker = ""
		}
		record.Status, record.FinishedAt = store.Cancelled, time.Now()
		record.Error = &store.ExecutionError{Code: "CANCELLED", Message: "the test had enough of it"}
		if record, err = w.gateway.store.UpdateExecution(ctx, record); !errors.Is(err, store.ErrConflict) {
			return record, err
		}
	}
}
