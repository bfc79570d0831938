package store_test

import (
	"testing"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

func BenchmarkCreateExecution(b *testing.B) {
	s := setup(b)
	b.Run("one caller", func(b *testing.B) {
		for b.Loop() {
			createExecution(b, s)
		}
	})
	b.Run("64 callers", func(b *testing.B) {
		atOnce(b, func() { createExecution(b, s) })
	})
}

// BenchmarkExecutionLife is all that an execution costs the store: created, taken, ended.
func BenchmarkExecutionLife(b *testing.B) {
	s := setup(b)
	life := func() {
		e := createExecution(b, s)
		e.Status, e.Attempt, e.Worker = store.Running, 1, "w1"
		e = update(b, s, e)
		e.Status, e.Result = store.Completed, make([]byte, 256)
		update(b, s, e)
	}
	b.Run("one caller", func(b *testing.B) {
		for b.Loop() {
			life()
		}
	})
	b.Run("64 callers", func(b *testing.B) { atOnce(b, life) })
}

func BenchmarkExecution(b *testing.B) {
	s := setup(b)
	e := createExecution(b, s)
	look := func() {
		if _, err := s.Execution(b.Context(), e.Org, e.ID); err != nil {
			b.Error(err)
		}
	}
	b.Run("one caller", func(b *testing.B) {
		for b.Loop() {
			look()
		}
	})
	b.Run("64 callers", func(b *testing.B) { atOnce(b, look) })
}

func BenchmarkApp(b *testing.B) {
	s := open(b, streamtest.Start(b), store.Options{})
	createApp(b, s, hello)
	for b.Loop() {
		if _, err := s.App(b.Context(), hello); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewExecutionID(b *testing.B) {
	for b.Loop() {
		store.NewExecutionID()
	}
}

// atOnce has 32 callers for each processor: 64 on two.
func atOnce(b *testing.B, call func()) {
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			call()
		}
	})
}

func update(b testing.TB, s *store.Store, next store.Execution) store.Execution {
	b.Helper()
	e, err := s.UpdateExecution(b.Context(), next)
	if err != nil {
		b.Error(err)
	}
	return e
}
