package gateway

import (
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const (
	// maxDelay is how far ahead an execution may be submitted.
	maxDelay = 365 * 24 * time.Hour
	// soon is how long before its time work may be given to the workers, who hold it back for the rest.
	soon = time.Second
)

// due is when a call is to begin; zero is at once.
func (v *violations) due(r *ignitev1.InvokeRequest, now time.Time) time.Time {
	switch {
	case r.Delay != nil && r.NotBefore != nil:
		v.add("not_before", "must not be given together with delay")
	case r.Delay != nil:
		return v.after(r, now)
	case r.NotBefore != nil:
		return v.notBefore(r, now)
	}
	return time.Time{}
}

func (v *violations) after(r *ignitev1.InvokeRequest, now time.Time) time.Time {
	delay := r.GetDelay().AsDuration()
	if r.GetDelay().CheckValid() != nil || delay < 0 || delay > maxDelay {
		v.add("delay", "must be 0 to %d seconds, a year", int64(maxDelay.Seconds()))
		return time.Time{}
	}
	if delay == 0 {
		return time.Time{}
	}
	return now.Add(delay).UTC()
}

func (v *violations) notBefore(r *ignitev1.InvokeRequest, now time.Time) time.Time {
	begin := r.GetNotBefore().AsTime()
	if err := r.GetNotBefore().CheckValid(); err != nil || begin.After(now.Add(maxDelay)) {
		v.add("not_before", "must be a time at most a year ahead")
		return time.Time{}
	}
	if !begin.After(now) {
		return time.Time{}
	}
	return begin
}
