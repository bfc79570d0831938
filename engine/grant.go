package engine

import (
	"time"

	"dodil.io/ignite/engine/pod"
)

// errand is a call on its way to a pod.
type errand struct {
	from origin
	// held is how many bytes of it are in memory while it waits.
	held  int64
	began time.Time
	// counted says that the app's demand has it already: it may meet several pools and pods.
	counted bool
}

// grant is a slot in the hands of a call.
type grant struct {
	pool   *pool
	on     *instance
	waited time.Duration
	cold   bool
}

func (g grant) release() { g.pool.release(g.on) }

func (g grant) target() pod.Target {
	return pod.Target{
		Addr:         g.on.pod.Addr(),
		AddrOf:       g.on.pod.AddrOf,
		Pod:          g.on.pod.Name(),
		Version:      g.on.version,
		Waited:       g.waited,
		Cold:         g.cold,
		OutOfService: g.on.outOfService,
	}
}
