package gateway

import (
	"fmt"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// Bounds of a retry policy.
const (
	maxAttempts      = 100
	maxBackoffMs     = 24 * 3600 * 1000
	maxMultiplier    = 100
	maxRetryStatuses = 64
	maxAgeSecs       = 30 * 24 * 3600
)

// storedRetry is a policy that v.retry has found nothing wrong with; absent, it leaves everything open.
func storedRetry(r *ignitev1.RetryPolicy) store.RetryPolicy {
	p := store.RetryPolicy{
		MaxAttempts:    r.GetMaxAttempts(),
		InitialBackoff: time.Duration(r.GetInitialBackoffMs()) * time.Millisecond,
		MaxBackoff:     time.Duration(r.GetMaxBackoffMs()) * time.Millisecond,
		Multiplier:     r.GetMultiplier(),
		Statuses:       r.GetRetryStatuses(),
		MaxAge:         time.Duration(r.GetMaxAgeSecs()) * time.Second,
	}
	if r != nil && r.Jitter != nil {
		p.Jitter = new(r.GetJitter())
	}
	return p
}

// publicRetry is the policy that holds, with nothing left open.
func publicRetry(p store.RetryPolicy) *ignitev1.RetryPolicy {
	p = p.Over(store.DefaultRetry())
	return &ignitev1.RetryPolicy{
		MaxAttempts:      p.MaxAttempts,
		InitialBackoffMs: uint32(p.InitialBackoff.Milliseconds()),
		MaxBackoffMs:     uint32(p.MaxBackoff.Milliseconds()),
		Multiplier:       p.Multiplier,
		Jitter:           p.Jitter,
		RetryStatuses:    p.Statuses,
		MaxAgeSecs:       uint32(p.MaxAge / time.Second),
	}
}

// retry checks a policy that goes over base.
func (v *violations) retry(r *ignitev1.RetryPolicy, base store.RetryPolicy) {
	v.within("retry.max_attempts", r.GetMaxAttempts(), 1, maxAttempts)
	v.within("retry.initial_backoff_ms", r.GetInitialBackoffMs(), 1, maxBackoffMs)
	v.within("retry.max_backoff_ms", r.GetMaxBackoffMs(), 1, maxBackoffMs)
	v.within("retry.max_age_secs", r.GetMaxAgeSecs(), 1, maxAgeSecs)
	// Written so that what is not a number is refused, too.
	if m := r.GetMultiplier(); m != 0 && !(m >= 1 && m <= maxMultiplier) {
		v.add("retry.multiplier", "must be 0 for the default, or 1 to %d", maxMultiplier)
	}
	if jitter := r.GetJitter(); !(jitter >= 0 && jitter <= 1) {
		v.add("retry.jitter", "must be 0 to 1, a part of the pause")
	}
	v.retryStatuses(r.GetRetryStatuses())
	longest := storedRetry(r).Over(base).Over(store.DefaultRetry()).MaxBackoff.Milliseconds()
	if int64(r.GetInitialBackoffMs()) > longest {
		v.add("retry.initial_backoff_ms", "must be at most max_backoff_ms, which is %d", longest)
	}
}

func (v *violations) retryStatuses(statuses []uint32) {
	if len(statuses) > maxRetryStatuses {
		v.add("retry.retry_statuses", "must be at most %d", maxRetryStatuses)
		return
	}
	for i, status := range statuses {
		if status < 400 || status > 599 {
			v.add(fmt.Sprintf("retry.retry_statuses[%d]", i), "must be 400 to 599, the answers that are failures")
		}
	}
}
