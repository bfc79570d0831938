package engine

import (
	"fmt"
	"math"
	"time"

	"dodil.io/ignite/store"
)

// account says on whose account an attempt did not complete its execution.
type account int

const (
	// nobodys is a failure that a repetition would not mend.
	nobodys account = iota
	// ofApp is a failure of the app, of which the policy allows MaxAttempts.
	ofApp
	// ofPlatform is a failure before the app had the call, or with the worker that made it.
	ofPlatform
	// notNow is no failure: the app asks to be called later.
	notNow
)

// charge counts the attempt in its record.
func (a account) charge(record *store.Execution) {
	switch a {
	case ofApp:
		record.AppFailures++
	case ofPlatform:
		record.PlatformFailures++
	case notNow:
		record.Postponements++
	}
}

// failure is what the decision about another attempt looks at.
type failure struct {
	account account
	// after is how long the app wants to be left alone; 0 if it does not say.
	after time.Duration
}

// decision is what follows an attempt that did not complete.
type decision struct {
	// due is when another attempt may begin; zero is never.
	due time.Time
	// reason says why there is none, when there could have been one.
	reason string
}

const (
	// leastPostponement is the pause after "not now" that asks for less.
	leastPostponement = time.Second
	// longestPause keeps sums of times in their range; every max_age is over long before.
	longestPause = 100 * 365 * 24 * time.Hour
)

// platformPauses is how the platform's own failures are repeated, whatever the app's policy is.
var platformPauses = growth{initial: time.Second, most: 30 * time.Second, multiplier: 2, jitter: 0.2}

// decide says whether and when an attempt that held record and came to f is followed by another. platformLimit is how many failures
// of the platform are allowed, and random, from 0 up to 1, spreads those who failed together.
func decide(record store.Execution, f failure, platformLimit int, now time.Time, random float64) decision {
	policy := record.Retry.Over(store.DefaultRetry())
	own := growth{initial: policy.InitialBackoff, most: policy.MaxBackoff, multiplier: policy.Multiplier, jitter: *policy.Jitter}
	f.account.charge(&record)
	var pause time.Duration
	switch f.account {
	case ofApp:
		if record.AppFailures >= policy.MaxAttempts {
			return decision{reason: unlessFirst(record, "%d of %d failures of the app", record.AppFailures, policy.MaxAttempts)}
		}
		pause = max(own.after(record.AppFailures, random), f.after)
	case ofPlatform:
		if int(record.PlatformFailures) >= platformLimit {
			return decision{reason: platformSpent(record, platformLimit)}
		}
		pause = platformPauses.after(record.PlatformFailures, random)
	case notNow:
		pause = own.notBefore(max(f.after, leastPostponement), random)
	default:
		return decision{reason: unlessFirst(record, "a failure of this kind is not retried")}
	}
	due := now.Add(pause)
	if due.After(begins(record).Add(policy.MaxAge)) {
		return decision{reason: fmt.Sprintf("its max_age of %v leaves no time for another", policy.MaxAge)}
	}
	return decision{due: due}
}

// unlessFirst says nothing of a first attempt: the failure itself says it all.
func unlessFirst(record store.Execution, format string, args ...any) string {
	if record.Attempt <= 1 {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func platformSpent(record store.Execution, limit int) string {
	return fmt.Sprintf("%d of %d failures of the platform", record.PlatformFailures, limit)
}

// begins is when an execution may begin at the earliest; its age counts from then.
func begins(record store.Execution) time.Time {
	if record.NotBefore.After(record.CreatedAt) {
		return record.NotBefore
	}
	return record.CreatedAt
}

// outlived reports whether a max_age that its submitter or its app chose is over. The default one lets work wait in a queue for as
// long as it has to.
func outlived(record store.Execution, now time.Time) bool {
	return record.Retry.MaxAge > 0 && now.After(begins(record).Add(record.Retry.MaxAge))
}

// growth is of pauses, from failure to failure.
type growth struct {
	initial, most      time.Duration
	multiplier, jitter float64
}

// after answers the pause that follows the given failure, counted from 1, off by up to the jitter.
func (p growth) after(failures uint32, random float64) time.Duration {
	pause := min(float64(p.initial)*math.Pow(p.multiplier, float64(failures-1)), float64(p.most))
	return bounded(pause * (1 + p.jitter*(2*random-1)))
}

// notBefore answers a pause that is not shorter than least, and longer by up to the jitter.
func (p growth) notBefore(least time.Duration, random float64) time.Duration {
	return bounded(float64(least) * (1 + p.jitter*random))
}

func bounded(pause float64) time.Duration {
	return time.Duration(min(max(pause, 0), float64(longestPause)))
}
