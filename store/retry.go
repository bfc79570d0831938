package store

import (
	"cmp"
	"slices"
	"time"
)

// RetryPolicy says what becomes of an execution whose attempt failed. The zero value of a field leaves it to the next policy: of the
// call, of the app, the defaults.
type RetryPolicy struct {
	// MaxAttempts is how many attempts the app may fail.
	MaxAttempts    uint32        `json:"max_attempts,omitempty"`
	InitialBackoff time.Duration `json:"initial_backoff,omitempty"`
	MaxBackoff     time.Duration `json:"max_backoff,omitempty"`
	// Multiplier is by which each pause is longer than the one before.
	Multiplier float64 `json:"multiplier,omitempty"`
	// Jitter is how far a pause may be off at random, as a part of it.
	Jitter *float64 `json:"jitter,omitempty"`
	// Statuses of an answer that are worth a repetition.
	Statuses []uint32 `json:"statuses,omitempty"`
	// MaxAge is how old an execution may be for another attempt to begin, from CreatedAt or NotBefore.
	MaxAge time.Duration `json:"max_age,omitempty"`
}

// DefaultRetry is the policy where neither call nor app says anything.
func DefaultRetry() RetryPolicy {
	jitter := 0.2
	return RetryPolicy{
		MaxAttempts:    1,
		InitialBackoff: time.Second,
		MaxBackoff:     5 * time.Minute,
		Multiplier:     2,
		Jitter:         &jitter,
		Statuses:       []uint32{408, 425, 429, 500, 502, 503, 504},
		MaxAge:         24 * time.Hour,
	}
}

// Over answers p with what it leaves open filled in from base.
func (p RetryPolicy) Over(base RetryPolicy) RetryPolicy {
	p.MaxAttempts = cmp.Or(p.MaxAttempts, base.MaxAttempts)
	p.InitialBackoff = cmp.Or(p.InitialBackoff, base.InitialBackoff)
	p.MaxBackoff = cmp.Or(p.MaxBackoff, base.MaxBackoff)
	p.Multiplier = cmp.Or(p.Multiplier, base.Multiplier)
	p.Jitter = cmp.Or(p.Jitter, base.Jitter)
	if len(p.Statuses) == 0 {
		p.Statuses = base.Statuses
	}
	p.MaxAge = cmp.Or(p.MaxAge, base.MaxAge)
	return p
}

// IsZero reports whether p leaves everything open.
func (p RetryPolicy) IsZero() bool {
	return p.MaxAttempts == 0 && p.InitialBackoff == 0 && p.MaxBackoff == 0 && p.Multiplier == 0 && p.Jitter == nil && len(p.Statuses) == 0 && p.MaxAge == 0
}

func (p RetryPolicy) clone() RetryPolicy {
	p.Statuses = slices.Clone(p.Statuses)
	if p.Jitter != nil {
		p.Jitter = new(*p.Jitter)
	}
	return p
}
